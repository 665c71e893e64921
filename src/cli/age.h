// Durations and points in time as people write and read them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace berth::cli {

// "3 minutes", "1 day", "less than a second": the largest whole unit.
std::string DescribeDuration(absl::Duration duration);

// DescribeDuration since `unix_nanos` and "ago"; "-" for 0, which is how the API says "never".
std::string FormatAgo(int64_t unix_nanos, absl::Time now);

// "10m", "1h30m" (that long before `now`) or a time of RFC 3339.
absl::StatusOr<absl::Time> ParseSince(absl::string_view text, absl::Time now);

}  // namespace berth::cli
