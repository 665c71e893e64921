// Processes in running containers: ExecSync, and those whose streams a client has.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/failpoint.h"
#include "src/base/status_macros.h"
#include "src/runtime/seccomp_listener.h"
#include "src/sandbox/container_spec.h"
#include "src/sandbox/node.h"

namespace berth {

absl::StatusOr<ExecSpec> Node::PrepareExec(const ContainerRecord& container, const PodRecord& pod,
                                           const std::vector<std::string>& command,
                                           const ExecStreams& streams) const {
  ASSIGN_OR_RETURN(ExecSpec spec, BuildExecSpec(container, pod, command, SpecOptions()));
  spec.streams = streams;
  const bool has_term =
      std::any_of(spec.env.begin(), spec.env.end(),
                  [](const std::string& variable) { return absl::StartsWith(variable, "TERM="); });
  if (streams.terminal && !has_term) spec.env.push_back("TERM=xterm");
  std::string mount_label;  // of files, which an exec makes none of
  RETURN_IF_ERROR(PrepareConfinement(container, pod, &spec.identity, &mount_label));
  return spec;
}

TakeSeccompListener Node::ListenerOf(const ContainerRecord& container,
                                     const SeccompProgram& program) const {
  return [this, id = container.id, &program](pid_t pid, UniqueFd listener) {
    return SendSeccompListener(program, {.container_id = id, .bundle = BundleDir(id), .pid = pid},
                               listener);
  };
}

namespace {

// The kernel kills what a container that ends has in it, a command before its exec too.
absl::Status KilledBeforeItBegan(const ContainerRecord& container, const absl::Status& killed) {
  return absl::FailedPreconditionError(
      absl::StrCat("exec in container ", container.id,
                   ", which ends or has no memory left: ", killed.message()));
}

}  // namespace

absl::StatusOr<ExecResult> Node::ExecSync(absl::string_view id,
                                          const std::vector<std::string>& command,
                                          const ExecSyncOptions& options) const {
  ASSIGN_OR_RETURN(const ContainerPtr container, state_.FindContainer(id));
  if (container->status.state != ContainerState::kRunning) return NotRunningError(*container);
  ASSIGN_OR_RETURN(const PodPtr pod, state_.FindPod(container->pod_id));
  ASSIGN_OR_RETURN(const ExecSpec spec, PrepareExec(*container, *pod, command, {}));
  if (!pod->config.runtime_handler.empty()) return ExecWithRuntime(*container, *pod, spec, options);
  const LaunchPlan plan = BuildExecPlan(spec);
  RETURN_IF_FAULT("exec.launch");
  absl::StatusOr<ExecSyncResult> result =
      Monitor(container->pod_id)
          .ExecSync({.container_id = container->id,
                     .plan = &plan,
                     .timeout = options.timeout,
                     .max_output_bytes = options.max_output_bytes,
                     .cancelled = options.cancelled,
                     .take_seccomp_listener = ListenerOf(*container, spec.identity.program)});
  if (absl::IsCancelled(result.status()) && !(options.cancelled && options.cancelled()))
    return KilledBeforeItBegan(*container, result.status());
  RETURN_IF_ERROR(result.status());
  RETURN_IF_FAULT("exec.answer");
  return ExecResult{std::move(result->output), std::move(result->error_output), result->exit_code};
}

absl::StatusOr<std::string> Node::CheckExec(absl::string_view id,
                                            const std::vector<std::string>& command) const {
  ASSIGN_OR_RETURN(const ContainerPtr container, state_.FindContainer(id));
  if (container->status.state != ContainerState::kRunning) return NotRunningError(*container);
  ASSIGN_OR_RETURN(const PodPtr pod, state_.FindPod(container->pod_id));
  RETURN_IF_ERROR(BuildExecSpec(*container, *pod, command, SpecOptions()).status());
  return container->id;
}

absl::StatusOr<MonitorSession> Node::ExecSession(const std::string& id,
                                                 const std::vector<std::string>& command,
                                                 const ExecStreams& streams) const {
  ASSIGN_OR_RETURN(const ContainerPtr container, state_.FindContainer(id));
  if (container->status.state != ContainerState::kRunning) return NotRunningError(*container);
  ASSIGN_OR_RETURN(const PodPtr pod, state_.FindPod(container->pod_id));
  ASSIGN_OR_RETURN(const ExecSpec spec, PrepareExec(*container, *pod, command, streams));
  if (!pod->config.runtime_handler.empty())
    return SessionWithRuntime(*container, *pod, spec, streams);
  const LaunchPlan plan = BuildExecPlan(spec);
  return Monitor(container->pod_id)
      .StartExecSession({.container_id = container->id,
                         .plan = &plan,
                         .streams = streams,
                         .take_seccomp_listener = ListenerOf(*container, spec.identity.program)});
}

}  // namespace berth
