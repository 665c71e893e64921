// Resource limits by name. getrlimit(2)
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/runtime/spec.h"

namespace berth {

// "nofile", "NOFILE" or "RLIMIT_NOFILE" as RLIMIT_NOFILE; InvalidArgument for no such limit.
absl::StatusOr<int> RlimitByName(absl::string_view name);
// "RLIMIT_NOFILE"; "" for no such limit.
std::string RlimitName(int resource);

// "nofile=1024:524288,core=0": soft:hard, or one number for both; "unlimited" is RLIM_INFINITY.
// InvalidArgument names the part that is wrong; a soft limit above the hard one is.
absl::StatusOr<std::vector<Rlimit>> ParseRlimits(absl::string_view text);

}  // namespace berth
