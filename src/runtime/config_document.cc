#include "src/runtime/config_document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <exception>
#include <limits>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "src/base/log.h"

namespace berth {
namespace {

using Json = nlohmann::json;

// Builds a document from the events of either parser and stops at the first broken rule.
class DocumentBuilder {
 public:
  bool Add(Json value) { return Insert(std::move(value)) != nullptr; }

  bool Open(Json value) {
    if (open_.size() >= kDocumentMaxDepth)
      return Fail(
          absl::ResourceExhaustedError(absl::StrCat("nested deeper than ", kDocumentMaxDepth)));
    Json* inserted = Insert(std::move(value));
    if (inserted == nullptr) return false;
    open_.push_back({inserted, "", false});
    return true;
  }

  bool Key(std::string key) {
    if (open_.back().value->contains(key))
      return Invalid(absl::StrCat("member \"", EscapeForLog(key), "\" twice"));
    open_.back().key = std::move(key);
    open_.back().has_key = true;
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  // Is a key of an object due, rather than a value?
  bool ExpectsKey() const {
    return !open_.empty() && open_.back().value->is_object() && !open_.back().has_key;
  }

  bool Invalid(absl::string_view message) { return Fail(absl::InvalidArgumentError(message)); }
  const absl::Status& status() const { return status_; }
  Json Take() { return std::move(root_); }

 private:
  struct Level {
    Json* value;  // of an open element: stays where it is, nothing is added beside it meanwhile
    std::string key;
    bool has_key;
  };

  bool Fail(absl::Status status) {
    if (status_.ok()) status_ = std::move(status);
    return false;
  }

  Json* Insert(Json value) {
    if (++values_ > kDocumentMaxValues) {
      Fail(absl::ResourceExhaustedError(absl::StrCat("more than ", kDocumentMaxValues, " values")));
      return nullptr;
    }
    if (open_.empty()) return &(root_ = std::move(value));
    Level& level = open_.back();
    if (level.value->is_object()) {
      level.has_key = false;
      return &((*level.value)[level.key] = std::move(value));
    }
    level.value->push_back(std::move(value));
    return &level.value->back();
  }

  Json root_;
  std::vector<Level> open_;
  size_t values_ = 0;
  absl::Status status_;
};

class JsonEvents : public nlohmann::json_sax<Json> {
 public:
  explicit JsonEvents(DocumentBuilder* builder) : builder_(builder) {}
  bool null() override { return builder_->Add(nullptr); }
  bool boolean(bool value) override { return builder_->Add(value); }
  bool number_integer(int64_t value) override { return builder_->Add(value); }
  bool number_unsigned(uint64_t value) override { return builder_->Add(value); }
  bool number_float(double value, const std::string&) override { return builder_->Add(value); }
  bool string(std::string& value) override { return builder_->Add(std::move(value)); }
  bool binary(Json::binary_t&) override { return builder_->Invalid("binary value"); }
  bool start_object(size_t) override { return builder_->Open(Json::object()); }
  bool key(std::string& name) override { return builder_->Key(std::move(name)); }
  bool end_object() override { return builder_->Close(); }
  bool start_array(size_t) override { return builder_->Open(Json::array()); }
  bool end_array() override { return builder_->Close(); }
  bool parse_error(size_t position, const std::string&, const Json::exception&) override {
    return builder_->Invalid(absl::StrCat("no valid JSON at byte ", position));
  }

 private:
  DocumentBuilder* builder_;
};

int DigitValue(unsigned char c) {
  if (absl::ascii_isdigit(c)) return c - '0';
  return absl::ascii_isxdigit(c) ? absl::ascii_tolower(c) - 'a' + 10 : -1;
}

// A whole number as YAML 1.1 writes it; std::nullopt if `text` is none.
std::optional<Json> WholeNumber(absl::string_view text) {
  const bool negative = absl::ConsumePrefix(&text, "-");
  if (!negative) absl::ConsumePrefix(&text, "+");
  if (text.empty()) return std::nullopt;
  int base = 10;
  if (absl::ConsumePrefix(&text, "0x")) {
    base = 16;
  } else if (absl::ConsumePrefix(&text, "0o") || (text.size() > 1 && text[0] == '0')) {
    base = 8;
  }
  uint64_t number = 0;
  for (const char c : text) {
    const int digit = DigitValue(static_cast<unsigned char>(c));
    if (digit < 0 || digit >= base) return std::nullopt;
    if (number > (std::numeric_limits<uint64_t>::max() >> 5)) return std::nullopt;
    number = number * static_cast<uint64_t>(base) + static_cast<uint64_t>(digit);
  }
  if (text.empty()) return std::nullopt;
  if (!negative) return Json(number);
  return Json(-static_cast<int64_t>(number));
}

Json PlainScalar(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL")
    return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  if (std::optional<Json> number = WholeNumber(text)) return *std::move(number);
  return text;
}

// Leaves the parser through this exception, which ParseYamlDocument catches.
struct Stopped : std::exception {};

class YamlEvents : public YAML::EventHandler {
 public:
  explicit YamlEvents(DocumentBuilder* builder) : builder_(builder) {}
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t anchor) override {
    NoAnchor(anchor);
    if (builder_->ExpectsKey()) return Check(builder_->Invalid("a member without a name"));
    Check(builder_->Add(nullptr));
  }
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {
    Check(builder_->Invalid("YAML aliases are not supported"));
  }
  void OnAnchor(const YAML::Mark&, const std::string&) override {
    Check(builder_->Invalid("YAML anchors are not supported"));
  }
  void OnScalar(const YAML::Mark&, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    NoAnchor(anchor);
    if (builder_->ExpectsKey()) return Check(builder_->Key(value));
    // "?" is a plain scalar, "!" a quoted one.
    if (tag == "?" || tag.empty()) return Check(builder_->Add(PlainScalar(value)));
    if (tag == "!" || tag == "tag:yaml.org,2002:str") return Check(builder_->Add(value));
    Check(builder_->Invalid(absl::StrCat("YAML tag ", EscapeForLog(tag), " is not supported")));
  }
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(anchor, Json::array());
  }
  void OnSequenceEnd() override { builder_->Close(); }
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(anchor, Json::object());
  }
  void OnMapEnd() override { builder_->Close(); }

 private:
  void Check(bool goes_on) {
    if (!goes_on) throw Stopped();
  }
  void NoAnchor(YAML::anchor_t anchor) {
    if (anchor != 0) Check(builder_->Invalid("YAML anchors are not supported"));
  }
  void Open(YAML::anchor_t anchor, Json value) {
    NoAnchor(anchor);
    if (builder_->ExpectsKey()) Check(builder_->Invalid("a member whose name is no scalar"));
    Check(builder_->Open(std::move(value)));
  }

  DocumentBuilder* builder_;
};

absl::Status CheckSize(absl::string_view text) {
  if (text.size() <= kDocumentMaxBytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(text.size(), " bytes, more than ", kDocumentMaxBytes));
}

}  // namespace

absl::StatusOr<Json> ParseJsonDocument(absl::string_view text) {
  if (absl::Status size = CheckSize(text); !size.ok()) return size;
  DocumentBuilder builder;
  JsonEvents events(&builder);
  const bool accepted = Json::sax_parse(text.begin(), text.end(), &events);
  if (!builder.status().ok()) return builder.status();
  if (!accepted) return absl::InvalidArgumentError("no valid JSON");
  return builder.Take();
}

absl::StatusOr<Json> ParseYamlDocument(absl::string_view text) {
  if (absl::Status size = CheckSize(text); !size.ok()) return size;
  DocumentBuilder builder;
  YamlEvents events(&builder);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(events)) return absl::InvalidArgumentError("no YAML document");
    if (parser.HandleNextDocument(events))
      return absl::InvalidArgumentError("more than one YAML document");
  } catch (const YAML::Exception& error) {
    if (builder.status().ok())
      return absl::InvalidArgumentError(absl::StrCat("no valid YAML at line ", error.mark.line + 1,
                                                     ": ", EscapeForLog(error.msg)));
  } catch (const std::exception& error) {
    if (builder.status().ok()) return absl::InvalidArgumentError("no valid YAML");
  }
  if (!builder.status().ok()) return builder.status();
  return builder.Take();
}

MemberReader::MemberReader(const Json& object, std::string where)
    : object_(object), where_(std::move(where)) {
  if (!object.is_object()) Fail("expected an object");
}

void MemberReader::Fail(absl::string_view message) {
  if (!status_.ok()) return;
  status_ = absl::InvalidArgumentError(where_.empty() ? std::string(message)
                                                      : absl::StrCat(where_, ": ", message));
}

std::string MemberReader::Where(absl::string_view member) const {
  return absl::StrCat(where_, where_.empty() ? "" : ".", member);
}

std::string MemberReader::Where(absl::string_view member, size_t index) const {
  return absl::StrCat(Where(member), "[", index, "]");
}

const Json* MemberReader::Member(const char* name) {
  asked_.insert(name);
  if (!status_.ok()) return nullptr;
  const auto member = object_.find(name);
  if (member == object_.end() || member->is_null()) return nullptr;
  return &*member;
}

const Json* MemberReader::Object(const char* name) {
  const Json* member = Member(name);
  if (member == nullptr || member->is_object()) return member;
  Fail(absl::StrCat(name, ": expected an object"));
  return nullptr;
}

const Json* MemberReader::List(const char* name) {
  const Json* member = Member(name);
  if (member == nullptr || member->is_array()) return member;
  Fail(absl::StrCat(name, ": expected a list"));
  return nullptr;
}

namespace {

bool IsText(const Json& value) {
  return value.is_string() && value.get_ref<const std::string&>().find('\0') == std::string::npos;
}

}  // namespace

void MemberReader::Read(const char* name, std::string* value) {
  const Json* member = Member(name);
  if (member == nullptr) return;
  if (!IsText(*member)) return Fail(absl::StrCat(name, ": expected a string"));
  *value = member->get<std::string>();
}

void MemberReader::Read(const char* name, std::vector<std::string>* value) {
  const Json* list = List(name);
  if (list == nullptr) return;
  for (const Json& item : *list) {
    if (!IsText(item)) return Fail(absl::StrCat(name, ": expected a list of strings"));
    value->push_back(item.get<std::string>());
  }
}

void MemberReader::Read(const char* name, std::map<std::string, std::string>* value) {
  const Json* object = Object(name);
  if (object == nullptr) return;
  for (const auto& [key, item] : object->items()) {
    if (!IsText(item)) return Fail(absl::StrCat(name, ": expected an object of strings"));
    (*value)[key] = item.get<std::string>();
  }
}

void MemberReader::Read(const char* name, std::optional<bool>* value) {
  const Json* member = Member(name);
  if (member == nullptr) return;
  if (!member->is_boolean()) return Fail(absl::StrCat(name, ": expected true or false"));
  *value = member->get<bool>();
}

void MemberReader::Read(const char* name, std::optional<uint32_t>* value) {
  const Json* member = Member(name);
  if (member == nullptr) return;
  if (!member->is_number_unsigned() ||
      member->get<uint64_t>() > std::numeric_limits<uint32_t>::max()) {
    return Fail(absl::StrCat(name, ": expected a whole number of 32 bits"));
  }
  *value = static_cast<uint32_t>(member->get<uint64_t>());
}

void MemberReader::Read(const char* name, std::optional<int64_t>* value) {
  const Json* member = Member(name);
  if (member == nullptr) return;
  if (!member->is_number_integer() ||
      (member->is_number_unsigned() &&
       member->get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))) {
    return Fail(absl::StrCat(name, ": expected a whole number"));
  }
  *value = member->get<int64_t>();
}

absl::Status MemberReader::Finish() {
  if (!status_.ok()) return status_;
  for (const auto& [key, item] : object_.items()) {
    if (asked_.count(key) == 0) {
      Fail(absl::StrCat("unknown member \"", EscapeForLog(key), "\""));
      break;
    }
  }
  return status_;
}

}  // namespace berth
