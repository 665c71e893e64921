// StopContainer, RemoveContainer, ReopenContainerLog.
#include <fcntl.h>
#include <signal.h>

#include "absl/strings/str_cat.h"
#include "src/base/failpoint.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/sandbox/node.h"
#include "src/store/pods.h"

namespace berth {
namespace {

constexpr absl::Duration kKillTimeout = absl::Seconds(20);

bool HasExited(const ContainerRecord& container) {
  return container.status.state == ContainerState::kExited;
}

}  // namespace

absl::Status Node::StopContainer(absl::string_view wanted, absl::Duration timeout,
                                 absl::Time deadline) {
  const absl::StatusOr<ContainerPtr> found = state_.FindContainer(wanted);
  if (absl::IsNotFound(found.status())) return absl::OkStatus();
  if (!found.ok()) return found.status();
  const ContainerRecord& container = **found;
  if (container.status.state == ContainerState::kExited) return absl::OkStatus();
  if (container.status.unread) return UnreadError(container);
  if (container.status.state == ContainerState::kCreated) return absl::OkStatus();
  OperationLog::Operation operation = BeginOperation("StopContainer", container);
  operation.Stage("signal");
  const absl::Duration grace = std::max(timeout, absl::ZeroDuration());
  const MonitorClient monitor = Monitor(container.pod_id);
  const absl::Time asked_at = SteadyNow();
  const absl::Status asked = monitor.Stop(container.id, container.stop_signal, grace);
  const absl::Time until = std::min(deadline, asked_at + grace + kKillTimeout);
  if (absl::IsDeadlineExceeded(asked)) {
    // The monitor hangs, and will not end it. What is owed to the container is its time.
    if (!state_.AwaitContainer(container.id, std::min(deadline, asked_at + grace), HasExited))
      cgroups_.Kill(container.cgroup);
  } else if (!asked.ok() && !absl::IsNotFound(asked)) {
    // Without its monitor a container ends at once. Any other error is the caller's, who comes
    // again: no container is killed because something else failed.
    if (!monitor.IsGone())
      return operation.End(Annotate(asked, absl::StrCat("stop container ", container.id)));
    cgroups_.Kill(container.cgroup);
  }
  operation.Stage("exit");
  if (state_.AwaitContainer(container.id, until, HasExited)) {
    TellStopped(container.id);
    RETURN_IF_FAULT("stop_container.answer");
    return operation.End(absl::OkStatus());
  }
  return operation.End(absl::DeadlineExceededError(absl::StrCat(
      "stop container ", container.id, ": it has not exited yet; its monitor ",
      asked.ok() ? "goes on stopping it" : "does not answer, and ends when its pod is stopped")));
}

void Node::TellStopped(absl::string_view id) const {
  if (options_.plugins == nullptr) return;
  const absl::StatusOr<ContainerPtr> container = state_.FindContainer(id);
  if (!container.ok() || !HasExited(**container)) return;
  const absl::StatusOr<PodPtr> pod = state_.FindPod((*container)->pod_id);
  if (pod.ok()) options_.plugins->ContainerStopped(**pod, **container);
}

absl::Status Node::RemoveContainer(absl::string_view wanted) {
  const absl::StatusOr<ContainerPtr> found = state_.FindContainer(wanted);
  if (absl::IsNotFound(found.status())) return absl::OkStatus();
  if (!found.ok()) return found.status();
  const KeyedLocks::Hold hold = locks_.Lock(absl::StrCat("container/", (*found)->id));
  const absl::StatusOr<ContainerPtr> container = state_.FindContainer((*found)->id);
  if (!container.ok()) return absl::OkStatus();  // another caller has removed it meanwhile
  OperationLog::Operation operation = BeginOperation("RemoveContainer", **container);
  return operation.End(RemoveContainerLocked(*container));
}

OperationLog::Operation Node::BeginOperation(const char* kind,
                                             const ContainerRecord& container) const {
  const absl::StatusOr<PodPtr> pod = state_.FindPod(container.pod_id);
  return options_.operations->Begin(
      kind, {.name = pod.ok() ? SubjectOf((*pod)->config, container.config) : container.config.name,
             .pod_id = container.pod_id,
             .container_id = container.id});
}

absl::Status Node::RemoveContainerLocked(const ContainerPtr& container) {
  RETURN_IF_ERROR(StopContainer(container->id, absl::ZeroDuration(), SteadyNow() + kKillTimeout));
  copies_.End(container->id);
  ASSIGN_OR_RETURN(const PodPtr pod, state_.FindPod(container->pod_id));
  TellStopped(container->id);
  if (!pod->config.runtime_handler.empty()) DeleteWithRuntime(*container, *pod);
  const absl::Status forgotten = Monitor(container->pod_id).Forget(container->id);
  if (!forgotten.ok() && !absl::IsUnavailable(forgotten)) {
    log_.Warning("monitor keeps a removed container",
                 {{"container", container->id}, {"error", forgotten.message()}});
  }
  RETURN_IF_FAULT("remove_container.cgroup");
  RETURN_IF_ERROR(RemoveContainerCgroup(container->id));
  if (container->status.poststop_due) {
    RunPoststopHooks(*container, *pod);
    state_.UpdateContainer(container->id,
                           [](ContainerRecord& record) { record.status.poststop_due = false; });
    PersistContainer(container->id).IgnoreError();
  }
  RETURN_IF_ERROR(MoveToTrash(ContainerDir(container->id)));
  RETURN_IF_ERROR(DeleteContainer(database_, container->id));
  LifecyclePlugins::Admission admission;
  if (options_.plugins != nullptr) {
    admission = options_.plugins->HoldAdmission();
    options_.plugins->ContainerRemoved(*pod, *container);
  }
  state_.RemoveContainer(container->id);
  RETURN_IF_FAULT("remove_container.answer");
  return absl::OkStatus();
}

// It was removed when the container exited, or is being removed, or something in it was dying
// still.
absl::Status Node::RemoveContainerCgroup(absl::string_view id) {
  const KeyedLocks::Hold hold = locks_.Lock(absl::StrCat("cgroup/", id));
  const absl::StatusOr<ContainerPtr> container = state_.FindContainer(id);
  if (!container.ok() || (*container)->status.cgroup_removed) return absl::OkStatus();
  return EmptyAndRemoveCgroup((*container)->cgroup);
}

absl::Status Node::ReopenContainerLog(absl::string_view id) {
  ASSIGN_OR_RETURN(const ContainerPtr container, state_.FindContainer(id));
  if (container->status.state != ContainerState::kRunning) return NotRunningError(*container);
  if (container->log_path.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const PodPtr pod, state_.FindPod(container->pod_id));
  ASSIGN_OR_RETURN(const UniqueFd log, OpenLog(*container, *pod));
  return Monitor(container->pod_id).ReopenLog(container->id, log);
}

}  // namespace berth
