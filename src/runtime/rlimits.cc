#include "src/runtime/rlimits.h"

#include <sys/resource.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

struct Name {
  const char* name;
  int resource;
};

constexpr Name kNames[] = {
    {"AS", RLIMIT_AS},           {"CORE", RLIMIT_CORE},         {"CPU", RLIMIT_CPU},
    {"DATA", RLIMIT_DATA},       {"FSIZE", RLIMIT_FSIZE},       {"LOCKS", RLIMIT_LOCKS},
    {"MEMLOCK", RLIMIT_MEMLOCK}, {"MSGQUEUE", RLIMIT_MSGQUEUE}, {"NICE", RLIMIT_NICE},
    {"NOFILE", RLIMIT_NOFILE},   {"NPROC", RLIMIT_NPROC},       {"RSS", RLIMIT_RSS},
    {"RTPRIO", RLIMIT_RTPRIO},   {"RTTIME", RLIMIT_RTTIME},     {"SIGPENDING", RLIMIT_SIGPENDING},
    {"STACK", RLIMIT_STACK},
};

absl::StatusOr<uint64_t> ParseValue(absl::string_view text) {
  if (text == "unlimited") return RLIM_INFINITY;
  uint64_t value = 0;
  if (!absl::SimpleAtoi(text, &value))
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is no limit"));
  return value;
}

absl::StatusOr<Rlimit> ParseRlimit(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
  if (parts.size() != 2)
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not NAME=SOFT:HARD"));
  const std::vector<absl::string_view> values = absl::StrSplit(parts[1], absl::MaxSplits(':', 1));
  Rlimit limit;
  ASSIGN_OR_RETURN(limit.resource, RlimitByName(absl::StripAsciiWhitespace(parts[0])));
  ASSIGN_OR_RETURN(limit.soft, ParseValue(values[0]));
  ASSIGN_OR_RETURN(limit.hard, ParseValue(values.back()));
  if (limit.soft > limit.hard) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\": the soft limit is above the hard one"));
  }
  return limit;
}

}  // namespace

absl::StatusOr<int> RlimitByName(absl::string_view name) {
  const std::string upper = absl::AsciiStrToUpper(name);
  const absl::string_view wanted = absl::StripPrefix(upper, "RLIMIT_");
  for (const Name& each : kNames) {
    if (wanted == each.name) return each.resource;
  }
  return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" is no resource limit"));
}

std::string RlimitName(int resource) {
  for (const Name& each : kNames) {
    if (each.resource == resource) return absl::StrCat("RLIMIT_", each.name);
  }
  return "";
}

absl::StatusOr<std::vector<Rlimit>> ParseRlimits(absl::string_view text) {
  std::vector<Rlimit> limits;
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    ASSIGN_OR_RETURN(const Rlimit limit, ParseRlimit(absl::StripAsciiWhitespace(part)));
    const bool twice = std::any_of(limits.begin(), limits.end(), [&](const Rlimit& other) {
      return other.resource == limit.resource;
    });
    if (twice)
      return absl::InvalidArgumentError(absl::StrCat("\"", part, "\": named a second time"));
    limits.push_back(limit);
  }
  return limits;
}

}  // namespace berth
