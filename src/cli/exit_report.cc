#include "src/cli/exit_report.h"

#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace berth::cli {
namespace {

using nlohmann::json;

std::string TextMember(const json& object, const char* key) {
  const auto member = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && member != object.end() && member->is_string()
             ? member->get<std::string>()
             : "";
}

const json& Member(const json& object, const char* key) {
  static const json kNone;
  const auto member = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && member != object.end() ? *member : kNone;
}

}  // namespace

absl::StatusOr<int> ParseExitReport(absl::string_view text) {
  const json report = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (TextMember(report, "status") == "Success") return 0;
  if (TextMember(report, "status") != "Failure") {
    return absl::UnknownError(absl::StrCat("the session ended with no report: ", text));
  }
  if (TextMember(report, "reason") == "NonZeroExitCode") {
    for (const json& cause : Member(Member(report, "details"), "causes")) {
      int code = 0;
      if (TextMember(cause, "reason") == "ExitCode" &&
          absl::SimpleAtoi(TextMember(cause, "message"), &code) && code > 0 && code <= 255) {
        return code;
      }
    }
  }
  const std::string message = TextMember(report, "message");
  return absl::UnknownError(message.empty() ? "the session failed without a reason" : message);
}

}  // namespace berth::cli
