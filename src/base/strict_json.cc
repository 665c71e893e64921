#include "src/base/strict_json.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/log.h"

namespace berth {
namespace {

using Json = nlohmann::json;

// Builds the document from nlohmann's SAX events and stops at the first broken rule.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(const JsonLimits& limits, absl::string_view what) : limits_(limits), what_(what) {}

  bool null() override { return Add(nullptr) != nullptr; }
  bool boolean(bool value) override { return Add(value) != nullptr; }
  bool number_integer(int64_t value) override { return Add(value) != nullptr; }
  bool number_unsigned(uint64_t value) override { return Add(value) != nullptr; }
  bool number_float(double value, const std::string&) override { return Add(value) != nullptr; }
  bool string(std::string& value) override { return Add(std::move(value)) != nullptr; }
  bool binary(Json::binary_t&) override { return Fail(absl::InvalidArgumentError("binary value")); }
  bool start_object(size_t) override { return Open(Json::object()); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(std::string& name) override {
    if (open_.back()->contains(name)) {
      return Fail(
          absl::InvalidArgumentError(absl::StrCat("key \"", EscapeForLog(name), "\" twice")));
    }
    key_ = std::move(name);
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Fail(absl::InvalidArgumentError(absl::StrCat("no valid JSON at byte ", position)));
  }

  absl::StatusOr<Json> Finish(bool accepted) && {
    if (!status_.ok()) return status_;
    if (!accepted)
      return absl::InvalidArgumentError(absl::StrCat("parse ", what_, ": no valid JSON"));
    return std::move(root_);
  }

 private:
  bool Fail(const absl::Status& cause) {
    status_ = absl::Status(cause.code(), absl::StrCat("parse ", what_, ": ", cause.message()));
    return false;
  }

  Json* Add(Json value) {
    if (++values_ > limits_.values) {
      Fail(absl::ResourceExhaustedError(absl::StrCat("more than ", limits_.values, " values")));
      return nullptr;
    }
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_object()) return &(parent[key_] = std::move(value));
    parent.push_back(std::move(value));
    return &parent.back();
  }

  // A pointer into an array stays valid while its element is open: nothing is appended to the array
  // meanwhile.
  bool Open(Json value) {
    if (open_.size() >= limits_.depth) {
      return Fail(absl::ResourceExhaustedError(absl::StrCat("nested deeper than ", limits_.depth)));
    }
    Json* added = Add(std::move(value));
    if (added == nullptr) return false;
    open_.push_back(added);
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  const JsonLimits limits_;
  const std::string what_;
  Json root_;
  std::vector<Json*> open_;
  std::string key_;
  size_t values_ = 0;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<Json> ParseStrictJson(absl::string_view text, const JsonLimits& limits,
                                     absl::string_view what) {
  if (text.size() > limits.bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("parse ", what, ": ", text.size(), " bytes, more than ", limits.bytes));
  }
  Builder builder(limits, what);
  const bool accepted = Json::sax_parse(text.begin(), text.end(), &builder);
  return std::move(builder).Finish(accepted);
}

}  // namespace berth
