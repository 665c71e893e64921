#include "src/server/convert/session_request.h"

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/server/convert/text_check.h"

namespace berth {

namespace cri = runtime::v1;
namespace {

// A terminal has one output; who wants no stream at all has nothing to connect for.
template <typename Request>
absl::StatusOr<ExecStreams> ParseStreams(const Request& request) {
  if (request.tty() && request.stderr())
    return Refused("stderr", "cannot be had apart from stdout with tty");
  if (!request.stdin() && !request.stdout() && !request.stderr())
    return Refused("stdin, stdout, stderr", "one of them at least must be wanted");
  return ExecStreams{.input = request.stdin(),
                     .output = request.stdout(),
                     .error_output = request.stderr(),
                     .terminal = request.tty()};
}

}  // namespace

absl::StatusOr<SessionRequest> ParseExecRequest(const cri::ExecRequest& request) {
  if (request.container_id().empty()) return Refused("container_id", "is empty");
  SessionRequest session{.kind = wire::SessionKind::kExec,
                         .id = request.container_id(),
                         .command = Strings(request.cmd())};
  if (session.command.empty()) return Refused("cmd", "is empty");
  ASSIGN_OR_RETURN(session.streams, ParseStreams(request));
  return session;
}

absl::StatusOr<SessionRequest> ParseAttachRequest(const cri::AttachRequest& request) {
  if (request.container_id().empty()) return Refused("container_id", "is empty");
  SessionRequest session{.kind = wire::SessionKind::kAttach, .id = request.container_id()};
  ASSIGN_OR_RETURN(session.streams, ParseStreams(request));
  return session;
}

absl::StatusOr<SessionRequest> ParsePortForwardRequest(const cri::PortForwardRequest& request) {
  if (request.pod_sandbox_id().empty()) return Refused("pod_sandbox_id", "is empty");
  SessionRequest session{.kind = wire::SessionKind::kPortForward, .id = request.pod_sandbox_id()};
  if (request.port_size() > wire::kMaxSessionPorts)
    return Refused("port", absl::StrCat("more than ", wire::kMaxSessionPorts, " of them"));
  for (const int32_t port : request.port()) {
    if (port < 1 || port > 65535)
      return Refused("port", absl::StrCat(port, " is not a number from 1 to 65535"));
    session.ports.push_back(static_cast<uint16_t>(port));
  }
  return session;
}

}  // namespace berth
