#include "src/cli/verbose_json.h"

#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "src/cli/terminal_text.h"

namespace berth::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string Print(const Json& json) {
  return EscapeJsonForTerminal(json.dump(2, ' ', false, Json::error_handler_t::replace));
}

Json Nest(const InfoMap& info) {
  Json nested = Json::object();
  for (const auto& [key, value] : info) {
    Json parsed = Json::parse(value, nullptr, /*allow_exceptions=*/false);
    nested[key] = parsed.is_discarded() ? Json(value) : std::move(parsed);
  }
  return nested;
}

}  // namespace

std::string InfoJson(const InfoMap& info) { return Print(Nest(info)); }

absl::StatusOr<std::string> VerboseJson(const google::protobuf::Message& status,
                                        const InfoMap& info) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string text;
  const auto converted = google::protobuf::util::MessageToJsonString(status, &text, options);
  if (!converted.ok())
    return absl::InternalError(absl::StrCat("print json: ", converted.ToString()));
  Json document = Json::object();
  document["status"] = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  document["info"] = Nest(info);
  return Print(document);
}

}  // namespace berth::cli
