// A client's streams joined to those of a container, or to ports of a pod.
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/sandbox/node.h"

namespace berth {

absl::StatusOr<std::string> Node::CheckAttach(absl::string_view id, bool terminal) const {
  ASSIGN_OR_RETURN(const ContainerPtr container, state_.FindContainer(id));
  if (container->status.state == ContainerState::kExited) return NotRunningError(*container);
  if (container->config.tty != terminal) {
    return absl::InvalidArgumentError(absl::StrCat("tty: container ", container->id, " has ",
                                                   terminal ? "no" : "a", " terminal"));
  }
  return container->id;
}

absl::StatusOr<MonitorSession> Node::AttachSession(const std::string& id,
                                                   const ExecStreams& streams) const {
  ASSIGN_OR_RETURN(const ContainerPtr container, state_.FindContainer(id));
  if (container->status.state == ContainerState::kExited) return NotRunningError(*container);
  ExecStreams wanted = streams;
  wanted.input = streams.input && container->config.stdin_open;
  return Monitor(container->pod_id).Attach({.container_id = container->id, .streams = wanted});
}

absl::StatusOr<std::string> Node::CheckPortForward(absl::string_view pod_id) const {
  ASSIGN_OR_RETURN(const PodPtr pod, state_.FindPod(pod_id));
  RETURN_IF_ERROR(CheckReady(*pod));
  return pod->id;
}

absl::StatusOr<MonitorSession> Node::PortForwardSession(const std::string& pod_id) const {
  RETURN_IF_ERROR(CheckPortForward(pod_id).status());
  MonitorSession session;
  ASSIGN_OR_RETURN(session.connection, Monitor(pod_id).PortForward());
  return session;
}

}  // namespace berth
