#include "src/base/json_fields.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

using Json = nlohmann::json;

absl::Status Wrong(const char* name, absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat("member \"", name, "\": expected ", expected));
}

absl::StatusOr<std::string> AsString(const Json& value, const char* name) {
  if (!value.is_string()) return Wrong(name, "a string");
  const auto& text = value.get_ref<const std::string&>();
  if (text.find('\0') != std::string::npos) return Wrong(name, "a string without NUL");
  return text;
}

}  // namespace

const Json* FindMember(const Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto member = object.find(name);
  if (member == object.end() || member->is_null()) return nullptr;
  return &*member;
}

absl::StatusOr<std::string> StringMember(const Json& object, const char* name) {
  const Json* member = FindMember(object, name);
  if (member == nullptr) return "";
  return AsString(*member, name);
}

absl::StatusOr<std::vector<std::string>> StringListMember(const Json& object, const char* name) {
  std::vector<std::string> list;
  const Json* member = FindMember(object, name);
  if (member == nullptr) return list;
  if (!member->is_array()) return Wrong(name, "a list of strings");
  for (const Json& item : *member) {
    ASSIGN_OR_RETURN(std::string text, AsString(item, name));
    list.push_back(std::move(text));
  }
  return list;
}

absl::StatusOr<std::map<std::string, std::string>> StringMapMember(const Json& object,
                                                                   const char* name) {
  std::map<std::string, std::string> map;
  const Json* member = FindMember(object, name);
  if (member == nullptr) return map;
  if (!member->is_object()) return Wrong(name, "an object of strings");
  for (const auto& [key, value] : member->items()) {
    ASSIGN_OR_RETURN(map[key], AsString(value, name));
  }
  return map;
}

absl::StatusOr<std::vector<std::string>> NameSetMember(const Json& object, const char* name) {
  std::vector<std::string> names;
  const Json* member = FindMember(object, name);
  if (member == nullptr) return names;
  if (!member->is_object()) return Wrong(name, "an object");
  for (const auto& [key, value] : member->items()) {
    if (key.find('\0') != std::string::npos) return Wrong(name, "names without NUL");
    names.push_back(key);
  }
  return names;
}

absl::StatusOr<int64_t> SizeMember(const Json& object, const char* name) {
  const Json* member = FindMember(object, name);
  if (member == nullptr) return 0;
  if (!member->is_number_unsigned() ||
      member->get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return Wrong(name, "a whole number that is not negative");
  }
  return static_cast<int64_t>(member->get<uint64_t>());
}

}  // namespace berth
