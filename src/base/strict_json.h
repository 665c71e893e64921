// JSON from strangers: bounded size and depth, no duplicate keys, no trailing bytes, no exceptions.
// Pure.
#pragma once

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace berth {

struct JsonLimits {
  size_t bytes = 4 << 20;
  size_t depth = 64;
  size_t values = 200'000;  // of any kind, nested ones included
};

// InvalidArgument (syntax, duplicate key) or ResourceExhausted (limits); `what` begins the message.
absl::StatusOr<nlohmann::json> ParseStrictJson(absl::string_view text, const JsonLimits& limits,
                                               absl::string_view what);

}  // namespace berth
