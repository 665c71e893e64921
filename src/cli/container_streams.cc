#include "src/cli/container_streams.h"

#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/cli/container_end.h"

namespace berth::cli {
namespace {

constexpr absl::Duration kAskAgain = absl::Milliseconds(20);

bool IsTrue(const nlohmann::json& config, const char* key) {
  const auto member = config.find(key);
  return member != config.end() && member->is_boolean() && member->get<bool>();
}

}  // namespace

absl::StatusOr<ContainerStreams> GetContainerStreams(Client& client, const std::string& id) {
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  request.set_verbose(true);
  ASSIGN_OR_RETURN(const cri::ContainerStatusResponse reply, client.ContainerStatus(request));
  const auto info = reply.info().find("info");
  const std::string text = info == reply.info().end() ? "" : info->second;
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("config") || !json["config"].is_object())
    return absl::UnknownError("the daemon does not tell the container's configuration");
  return ContainerStreams{.stdin_open = IsTrue(json["config"], "stdin"),
                          .tty = IsTrue(json["config"], "tty")};
}

cri::AttachRequest MakeAttachRequest(const std::string& id, bool stdin_open, bool tty) {
  cri::AttachRequest request;
  request.set_container_id(id);
  request.set_stdin(stdin_open);
  request.set_tty(tty);
  request.set_stdout(true);
  request.set_stderr(!tty);
  return request;
}

absl::StatusOr<int> AwaitExitCode(Client& client, const std::string& id) {
  EndWatch watch(client, id);
  while (true) {
    ASSIGN_OR_RETURN(const bool ended, watch.Ended());
    if (ended) break;
    absl::SleepFor(kAskAgain);
  }
  ASSIGN_OR_RETURN(const cri::ContainerStatus status, GetContainerStatus(client, id));
  return status.exit_code();
}

}  // namespace berth::cli
