#include "src/cli/failure.h"

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "src/cli/table.h"
#include "src/cli/terminal_text.h"

namespace berth::cli {
namespace {

constexpr absl::string_view kHintKey = "berth/hint";
constexpr absl::string_view kExitCodeKey = "berth/exit-code";

}  // namespace

absl::Status WithHint(absl::Status status, absl::string_view hint) {
  status.SetPayload(kHintKey, absl::Cord(hint));
  return status;
}

absl::Status WithExitCode(absl::Status status, int code) {
  status.SetPayload(kExitCodeKey, absl::Cord(absl::StrCat(code)));
  return status;
}

absl::Status InContext(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  absl::Status longer(status.code(), absl::StrCat(context, ": ", status.message()));
  status.ForEachPayload(
      [&](absl::string_view key, const absl::Cord& value) { longer.SetPayload(key, value); });
  return longer;
}

std::string HintOf(const absl::Status& status) {
  const auto hint = status.GetPayload(kHintKey);
  return hint.has_value() ? std::string(*hint) : "";
}

int ExitCodeOf(const absl::Status& status, int otherwise) {
  const auto payload = status.GetPayload(kExitCodeKey);
  int code = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &code)) return otherwise;
  return code;
}

std::string DescribeFailure(const absl::Status& status, bool colour) {
  std::string text =
      absl::StrCat(Paint("berth:", Tone::kBad, colour), " ", OneLine(status.message()), "\n");
  const std::string hint = HintOf(status);
  if (!hint.empty())
    absl::StrAppend(&text, Paint("hint:", Tone::kFaint, colour), " ", OneLine(hint), "\n");
  return text;
}

int LaunchExitCode(const absl::Status& status) {
  const std::string message = absl::AsciiStrToLower(status.message());
  if (absl::StrContains(message, "no such file or directory") ||
      absl::StrContains(message, "executable file not found")) {
    return kExitNotFound;
  }
  if (status.code() == absl::StatusCode::kPermissionDenied ||
      absl::StrContains(message, "permission denied") ||
      absl::StrContains(message, "exec format error") ||
      absl::StrContains(message, "is a directory")) {
    return kExitNotRunnable;
  }
  return kExitRefused;
}

}  // namespace berth::cli
