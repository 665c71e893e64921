// Typed, checked access to the members of a JSON object from a stranger. Absent and null are the
// default; another type is InvalidArgument naming the member. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace berth {

// The member, or nullptr if `object` is no object, has none, or it is null.
const nlohmann::json* FindMember(const nlohmann::json& object, const char* name);

// Strings must not hold NUL: they become C strings later.
absl::StatusOr<std::string> StringMember(const nlohmann::json& object, const char* name);
absl::StatusOr<std::vector<std::string>> StringListMember(const nlohmann::json& object,
                                                          const char* name);
absl::StatusOr<std::map<std::string, std::string>> StringMapMember(const nlohmann::json& object,
                                                                   const char* name);
// The names of an object's members, for sets written as {"/data": {}}.
absl::StatusOr<std::vector<std::string>> NameSetMember(const nlohmann::json& object,
                                                       const char* name);
// 0 if absent; negative numbers and fractions are refused.
absl::StatusOr<int64_t> SizeMember(const nlohmann::json& object, const char* name);

}  // namespace berth
