// Checks of single values of a request. Pure; each refusal is InvalidArgument and begins with the
// field's name.
#pragma once

#include <stddef.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/repeated_field.h"

namespace berth {

inline constexpr size_t kMaxName = 253;   // of a Kubernetes object (RFC 1123)
inline constexpr size_t kMaxPath = 4000;  // below PATH_MAX, with room for a prefix

absl::Status Refused(absl::string_view field, absl::string_view why);

// For what ends up in files, logs and terminals: at most `max` bytes, no control character (C0,
// DEL, and C1 in UTF-8).
absl::Status CheckText(absl::string_view field, absl::string_view text, size_t max);
// The same, and absolute.
absl::Status CheckPath(absl::string_view field, absl::string_view path);
// Has a component ".."?
bool LeadsUp(absl::string_view path);
absl::Status CheckNoNul(absl::string_view field, absl::string_view text);

inline std::vector<std::string> Strings(
    const google::protobuf::RepeatedPtrField<std::string>& from) {
  return {from.begin(), from.end()};
}

}  // namespace berth
