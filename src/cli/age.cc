#include "src/cli/age.h"

#include <array>

#include "absl/strings/str_cat.h"

namespace berth::cli {
namespace {

struct Unit {
  absl::string_view name;
  int64_t seconds;
};

constexpr int64_t kDay = 24 * 60 * 60;
constexpr std::array kUnits = {
    Unit{"year", 365 * kDay}, Unit{"month", 30 * kDay}, Unit{"week", 7 * kDay}, Unit{"day", kDay},
    Unit{"hour", 3600},       Unit{"minute", 60},       Unit{"second", 1}};

}  // namespace

std::string DescribeDuration(absl::Duration duration) {
  const int64_t seconds = absl::ToInt64Seconds(duration);
  for (const Unit& unit : kUnits) {
    const int64_t count = seconds / unit.seconds;
    if (count > 0) return absl::StrCat(count, " ", unit.name, count == 1 ? "" : "s");
  }
  return "less than a second";
}

std::string FormatAgo(int64_t unix_nanos, absl::Time now) {
  if (unix_nanos == 0) return "-";
  return absl::StrCat(DescribeDuration(now - absl::FromUnixNanos(unix_nanos)), " ago");
}

absl::StatusOr<absl::Time> ParseSince(absl::string_view text, absl::Time now) {
  absl::Duration duration;
  if (absl::ParseDuration(text, &duration) && duration >= absl::ZeroDuration())
    return now - duration;
  absl::Time time;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, nullptr)) return time;
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", text, "\" is neither a duration like 10m nor a time like 2026-01-02T15:04:05Z"));
}

}  // namespace berth::cli
