#include "src/oci/field_reader.h"

#include "absl/strings/str_cat.h"

namespace berth::oci {

std::string FieldReader::PathOf(const char* name) const {
  return path_.empty() ? name : absl::StrCat(path_, ".", name);
}

void FieldReader::FailAt(const std::string& path, const std::string& cause) const {
  if (!log_->status.ok()) return;
  log_->status = absl::InvalidArgumentError(absl::StrCat("config.json ", path, ": ", cause));
}

void FieldReader::Fail(const std::string& cause) const { FailAt(path_, cause); }

FieldReader FieldReader::Child(const char* name) const {
  std::string path = PathOf(name);
  log_->paths.insert(path);
  const nlohmann::json* child = nullptr;
  if (value_ != nullptr && value_->is_object()) {
    const auto found = value_->find(name);
    if (found != value_->end() && !found->is_null()) child = &*found;
  } else if (value_ != nullptr) {
    FailAt(path_, "not an object");
  }
  return FieldReader(child, std::move(path), log_);
}

std::vector<FieldReader> FieldReader::List(const char* name) const {
  const FieldReader list = Child(name);
  std::string path = absl::StrCat(list.path_, "[]");
  log_->paths.insert(path);
  std::vector<FieldReader> elements;
  if (!list.present()) return elements;
  if (!list.value_->is_array()) {
    list.Fail("not a list");
    return elements;
  }
  for (const nlohmann::json& element : *list.value_) elements.emplace_back(&element, path, log_);
  return elements;
}

std::string FieldReader::Text(const nlohmann::json& value, const std::string& path) const {
  if (!value.is_string()) {
    FailAt(path, "not a string");
    return "";
  }
  std::string text = value.get<std::string>();
  if (text.find('\0') != std::string::npos) FailAt(path, "has a NUL in it");
  return text;
}

std::string FieldReader::String(const char* name) const {
  const FieldReader child = Child(name);
  return child.present() ? Text(*child.value_, child.path_) : "";
}

std::vector<std::string> FieldReader::Strings(const char* name) const {
  const FieldReader child = Child(name);
  std::vector<std::string> strings;
  if (!child.present()) return strings;
  if (!child.value_->is_array()) {
    child.Fail("not a list");
    return strings;
  }
  for (const nlohmann::json& element : *child.value_) {
    strings.push_back(Text(element, child.path_));
  }
  return strings;
}

std::map<std::string, std::string> FieldReader::StringMap(const char* name) const {
  const FieldReader child = Child(name);
  std::map<std::string, std::string> strings;
  if (!child.present()) return strings;
  if (!child.value_->is_object()) {
    child.Fail("not an object");
    return strings;
  }
  for (const auto& [key, value] : child.value_->items()) strings[key] = Text(value, child.path_);
  return strings;
}

bool FieldReader::Bool(const char* name, bool otherwise) const {
  const FieldReader child = Child(name);
  if (!child.present()) return otherwise;
  if (child.value_->is_boolean()) return child.value_->get<bool>();
  child.Fail("not true or false");
  return otherwise;
}

std::optional<int64_t> FieldReader::Int(const char* name, int64_t least, int64_t most) const {
  const FieldReader child = Child(name);
  if (!child.present()) return std::nullopt;
  const nlohmann::json& value = *child.value_;
  const bool fits = value.is_number_unsigned()
                        ? most >= 0 && value.get<uint64_t>() <= static_cast<uint64_t>(most) &&
                              (least < 0 || value.get<uint64_t>() >= static_cast<uint64_t>(least))
                        : value.is_number_integer() && value.get<int64_t>() >= least &&
                              value.get<int64_t>() <= most;
  if (fits) return value.get<int64_t>();
  child.Fail(value.is_number_integer() ? "out of range" : "not a whole number");
  return std::nullopt;
}

std::optional<uint64_t> FieldReader::Unsigned(const char* name, uint64_t most) const {
  const FieldReader child = Child(name);
  if (!child.present()) return std::nullopt;
  const nlohmann::json& value = *child.value_;
  if (value.is_number_unsigned() && value.get<uint64_t>() <= most) return value.get<uint64_t>();
  child.Fail(value.is_number_integer() ? "out of range" : "not a whole number");
  return std::nullopt;
}

}  // namespace berth::oci
