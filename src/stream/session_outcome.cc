#include "src/stream/session_outcome.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace berth {
namespace {

using Json = nlohmann::ordered_json;

Json Causes(const std::string& reason, const std::string& message) {
  Json cause = Json::object();
  if (!reason.empty()) cause["reason"] = reason;
  cause["message"] = message;
  return {{"causes", Json::array({cause})}};
}

Json Failure(const std::string& message, const std::string& reason, Json details) {
  return {{"metadata", Json::object()},
          {"status", "Failure"},
          {"message", message},
          {"reason", reason},
          {"details", std::move(details)}};
}

}  // namespace

std::string OutcomeText(const SessionOutcome& outcome, CommandProtocol protocol) {
  const bool json = protocol == CommandProtocol::kV4 || protocol == CommandProtocol::kV5;
  Json status = {{"metadata", Json::object()}, {"status", "Success"}};
  std::string text;
  if (!outcome.failure.ok()) {
    const std::string cause(outcome.failure.message());
    const bool internal = outcome.exit_code == 0;
    text = internal ? absl::StrCat("Internal error occurred: ", cause) : cause;
    status = internal ? Failure(text, "InternalError", Causes("", cause))
                      : Failure(text, "NonZeroExitCode",
                                Causes("ExitCode", absl::StrCat(outcome.exit_code)));
    if (internal) status["code"] = 500;
  } else if (outcome.exit_code != 0) {
    text =
        absl::StrCat("command terminated with non-zero exit code: exit status ", outcome.exit_code);
    status = Failure(text, "NonZeroExitCode", Causes("ExitCode", absl::StrCat(outcome.exit_code)));
  }
  if (!json) return text;
  // What is no UTF-8 in a message is replaced, not refused.
  return status.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace berth
