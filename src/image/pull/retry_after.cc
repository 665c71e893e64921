#include "src/image/pull/retry_after.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"

namespace berth {
namespace {

constexpr int64_t kLongestSeconds = 365 * 24 * 3600;
constexpr int kMostDoublings = 16;
constexpr char kPayload[] = "berth/retry-after";

}  // namespace

absl::Duration ParseRetryAfter(absl::string_view value, absl::Time now) {
  value = absl::StripAsciiWhitespace(value);
  const bool digits = !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c));
  });
  if (digits) {
    int64_t seconds = kLongestSeconds;
    if (!absl::SimpleAtoi(value, &seconds)) seconds = kLongestSeconds;
    return absl::Seconds(std::min(seconds, kLongestSeconds));
  }
  absl::Time until;
  if (!absl::ParseTime("%a, %d %b %Y %H:%M:%S GMT", value, &until, nullptr)) {
    return absl::ZeroDuration();
  }
  return std::clamp(until - now, absl::ZeroDuration(), absl::Seconds(kLongestSeconds));
}

void SetRetryAfter(absl::string_view value, absl::Status* status) {
  status->SetPayload(kPayload, absl::Cord(value));
}

absl::Duration RetryAfterOf(const absl::Status& status, absl::Time now) {
  const absl::optional<absl::Cord> value = status.GetPayload(kPayload);
  return value.has_value() ? ParseRetryAfter(std::string(*value), now) : absl::ZeroDuration();
}

bool IsTransient(const absl::Status& status) {
  return absl::IsUnavailable(status) || status.GetPayload(kPayload).has_value();
}

absl::Duration RetryPause(int attempt, absl::Duration asked, absl::Duration base,
                          absl::Duration longest, double jitter) {
  if (asked > absl::ZeroDuration()) return std::min(asked, longest);
  const int doublings = std::clamp(attempt - 1, 0, kMostDoublings);
  const absl::Duration whole = std::min(base * (int64_t{1} << doublings), longest);
  return whole * (0.5 + jitter / 2);
}

}  // namespace berth
