// StopPodSandbox and RemovePodSandbox.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/failpoint.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/kernel/file.h"
#include "src/kernel/socket.h"
#include "src/sandbox/node.h"
#include "src/store/pods.h"

namespace berth {
namespace {

// SIGKILL takes effect at once, except on processes in an uninterruptible wait.
constexpr absl::Duration kKillTimeout = absl::Seconds(20);
constexpr absl::Duration kMonitorEndTimeout = absl::Seconds(5);
constexpr absl::Duration kStopAnswer = absl::Seconds(5);
constexpr absl::Duration kCgroupPatience = absl::Seconds(2);

void Kill(const UniqueFd& process) {
  if (process.valid()) ::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
}

}  // namespace

absl::Status Node::StopPod(absl::string_view wanted) {
  const absl::StatusOr<PodPtr> found = state_.FindPod(wanted);
  if (absl::IsNotFound(found.status())) return absl::OkStatus();
  if (!found.ok()) return found.status();
  const std::string& id = (*found)->id;
  const KeyedLocks::Hold hold = locks_.Lock(absl::StrCat("pod/", id));
  if ((*found)->status.state == PodState::kNotReady) return StopPodOnce(id, nullptr);
  OperationLog::Operation operation = options_.operations->Begin(
      "StopPodSandbox", {.name = SubjectOf((*found)->config), .pod_id = id});
  return operation.End(StopPodOnce(id, &operation));
}

absl::Status Node::StopPodOnce(const std::string& id, OperationLog::Operation* operation) {
  if (operation != nullptr) operation->Stage("containers");
  const absl::StatusOr<PodPtr> found = state_.FindPod(id);
  if (!found.ok()) return absl::OkStatus();  // another caller has removed it meanwhile
  const PodPtr& pod = *found;
  // From here on no container can be made or started in it.
  if (pod->status.state != PodState::kNotReady || pod->status.unstored) {
    state_.UpdatePod(id, [](PodStatus& status) { status.state = PodState::kNotReady; });
    PersistPod(id).IgnoreError();
  }
  RETURN_IF_FAULT("stop_pod.containers");
  // A start that began before that comes to its end, and what it started is stopped with the rest.
  for (const ContainerPtr& container : Snapshot()->ContainersOf(pod->id)) {
    if (container->status.state != ContainerState::kCreated) continue;
    const KeyedLocks::Hold ended = locks_.Lock(absl::StrCat("container/", container->id));
  }
  RETURN_IF_ERROR(ReadOrEndMonitor(pod));
  const MonitorClient monitor = Monitor(pod->id);
  std::vector<std::string> running;
  bool hangs = false;
  for (const ContainerPtr& container : Snapshot()->ContainersOf(pod->id)) {
    if (container->status.state != ContainerState::kRunning) continue;
    running.push_back(container->id);
    if (!hangs) {
      const absl::Status asked =
          monitor.Stop(container->id, SIGKILL, absl::ZeroDuration(), kStopAnswer);
      if (asked.ok() || (absl::IsNotFound(asked) && IsGoneOrExited(container->id))) continue;
      // Not for want of a descriptor, which the next try may have.
      if (absl::IsResourceExhausted(asked))
        return Annotate(asked, absl::StrCat("stop pod sandbox ", pod->id));
      hangs = !monitor.IsGone();
    }
    cgroups_.Kill(container->cgroup);
  }
  if (hangs) EndHungMonitor(*pod);
  const absl::Time deadline = SteadyNow() + kKillTimeout;
  for (const std::string& id : running) {
    const bool exited = state_.AwaitContainer(id, deadline, [](const ContainerRecord& container) {
      return container.status.state == ContainerState::kExited;
    });
    if (!exited) {
      return absl::DeadlineExceededError(
          absl::StrCat("stop pod sandbox ", pod->id, ": container ", id,
                       " does not die (is it in an uninterruptible wait?)"));
    }
  }
  if (options_.plugins != nullptr) {
    if (operation != nullptr) operation->Stage("plugins");
    for (const ContainerPtr& container : Snapshot()->ContainersOf(pod->id))
      TellStopped(container->id);
    options_.plugins->PodStopped(*pod);
  }
  if (operation != nullptr) operation->Stage("network");
  RETURN_IF_FAULT("stop_pod.network");
  RETURN_IF_ERROR(network_.Detach(pod->id));
  if (!pod->status.ips.empty()) {
    state_.UpdatePod(id, [](PodStatus& status) { status.ips.clear(); });
    PersistPod(id).IgnoreError();
  }
  RETURN_IF_FAULT("stop_pod.answer");
  return absl::OkStatus();
}

// A removal that takes place meanwhile has its monitor forget it then.
bool Node::IsGoneOrExited(absl::string_view container_id) const {
  const absl::StatusOr<ContainerPtr> container = state_.FindContainer(container_id);
  return !container.ok() || (*container)->status.state == ContainerState::kExited;
}

// Of a monitor that has not been read since berthd's start nobody knows what runs.
absl::Status Node::ReadOrEndMonitor(const PodPtr& pod) {
  if (!IsUnread(pod->id)) return absl::OkStatus();
  const absl::Status read = RecoverPod(pod, kStopAnswer);
  if (absl::IsDeadlineExceeded(read) || absl::IsFailedPrecondition(read)) {
    EndHungMonitor(*pod);
  } else if (!read.ok()) {
    return Annotate(read, absl::StrCat("stop pod sandbox ", pod->id));
  }
  absl::MutexLock lock(&mu_);
  unread_.erase(pod->id);
  return absl::OkStatus();
}

// It reaps nothing and tells nothing: what it holds ends with it.
void Node::EndHungMonitor(const PodRecord& pod) {
  log_.Error("monitor of a pod that is stopped does not answer; it is ended", {{"pod", pod.id}});
  ++counters_.monitors_lost;
  TakeWatch(pod.id).reset();  // its end is known, and counted
  cgroups_.Kill(pod.status.cgroup);
  // What is killed runs until the kernel gets to it, and a pod is stopped when nothing of it runs.
  for (const ContainerPtr& container : Snapshot()->ContainersOf(pod.id)) {
    if (container->status.state == ContainerState::kRunning)
      EmptyAndRemoveCgroup(container->cgroup).IgnoreError();  // or at its removal
  }
  MarkLost(pod, "the pod's monitor did not answer");
}

absl::Status Node::RemovePod(absl::string_view wanted) {
  const absl::StatusOr<PodPtr> found = state_.FindPod(wanted);
  if (absl::IsNotFound(found.status())) return absl::OkStatus();
  if (!found.ok()) return found.status();
  const PodPtr& pod = *found;
  const KeyedLocks::Hold hold = locks_.Lock(absl::StrCat("pod/", pod->id));
  if (!state_.FindPod(pod->id).ok()) return absl::OkStatus();
  OperationLog::Operation operation = options_.operations->Begin(
      "RemovePodSandbox", {.name = SubjectOf(pod->config), .pod_id = pod->id});
  operation.Stage("stop");
  if (absl::Status stopped = StopPodOnce(pod->id, nullptr); !stopped.ok())
    return operation.End(stopped);
  operation.Stage("containers");
  for (const ContainerPtr& container : Snapshot()->ContainersOf(pod->id)) {
    if (absl::Status removed = RemoveContainer(container->id); !removed.ok())
      return operation.End(removed);
  }
  operation.Stage("clean up");
  if (absl::Status discarded = DiscardPod(*pod); !discarded.ok())
    return operation.End(Annotate(discarded, absl::StrCat("remove pod sandbox ", pod->id)));
  LifecyclePlugins::Admission admission;
  if (options_.plugins != nullptr) {
    admission = options_.plugins->HoldAdmission();
    options_.plugins->PodRemoved(*pod);
  }
  state_.RemovePod(pod->id);
  RETURN_IF_FAULT("remove_pod.answer");
  return operation.End(absl::OkStatus());
}

UniqueFd Node::TakeWatch(const std::string& pod_id) {
  {
    absl::MutexLock lock(&mu_);
    unwatched_.erase(pod_id);
  }
  return watcher_->Remove(pod_id);
}

Node::EndingMonitor Node::AskMonitorToEnd(const PodRecord& pod) {
  EndingMonitor monitor = {.process = UniqueFd(), .connection = TakeWatch(pod.id)};
  {
    absl::MutexLock lock(&mu_);
    const auto runtime = runtimes_.find(pod.id);
    if (runtime != runtimes_.end()) monitor.process = std::move(runtime->second->monitor);
    runtimes_.erase(pod.id);
  }
  const absl::Status asked = monitor.connection.valid()
                                 ? MonitorClient::BeginShutdown(monitor.connection)
                                 : Monitor(pod.id).Shutdown(kMonitorEndTimeout);
  if (!asked.ok()) Kill(monitor.process);
  return monitor;
}

bool Node::AwaitEnd(EndingMonitor& monitor) {
  const absl::Time deadline = SteadyNow() + kMonitorEndTimeout;
  bool ended = false;
  while (!ended && (monitor.process.valid() || monitor.connection.valid())) {
    pollfd ready[] = {{.fd = monitor.process.get(), .events = POLLIN, .revents = 0},
                      {.fd = monitor.connection.get(), .events = POLLIN, .revents = 0}};
    const absl::Duration patience = std::max(deadline - SteadyNow(), absl::ZeroDuration());
    if (::poll(ready, 2, static_cast<int>(absl::ToInt64Milliseconds(patience))) == 0) break;
    ended = ready[0].revents != 0;
    if (ended || ready[1].revents == 0) continue;
    const absl::StatusOr<Packet> packet =
        ReceivePacket(monitor.connection.get(), absl::InfinitePast());
    if (!packet.ok()) monitor.connection.reset();
    if (packet.ok() && !ParseWatchEvent(packet->data).ok()) break;  // it says that it cannot
  }
  if (!monitor.process.valid()) return true;
  if (!ended) {
    Kill(monitor.process);
    pollfd killed = {.fd = monitor.process.get(), .events = POLLIN, .revents = 0};
    if (::poll(&killed, 1, static_cast<int>(absl::ToInt64Milliseconds(kMonitorEndTimeout))) == 0)
      return false;
  }
  ::waitid(P_PIDFD, static_cast<id_t>(monitor.process.get()), nullptr, WEXITED);
  return true;
}

absl::Status Node::EmptyAndRemoveCgroup(const std::string& path) const {
  if (cgroups_.Remove(path).ok()) return absl::OkStatus();
  ++counters_.cgroups_killed;
  return cgroups_.KillAndRemove(path, kCgroupPatience);
}

// The last steps of a removal, and the undo of a pod that could not be made. Each step can be
// repeated; the record goes last.
absl::Status Node::DiscardPod(const PodRecord& pod) {
  EndingMonitor monitor = AskMonitorToEnd(pod);
  const absl::Status detached = network_.Detach(pod.id);
  if (!detached.ok())
    log_.Warning("network not taken down yet", {{"pod", pod.id}, {"error", detached.message()}});
  const absl::Status moved = MoveToTrash(PodDataDir(pod.id));
  if (!AwaitEnd(monitor)) {
    absl::MutexLock lock(&mu_);
    runtimes_[pod.id] = std::make_unique<PodRuntime>();
    runtimes_[pod.id]->monitor = std::move(monitor.process);  // for whom it is to be reaped by
    return absl::DeadlineExceededError(
        "berth-monitor does not die (is it in an uninterruptible wait?)");
  }
  RETURN_IF_ERROR(moved);
  // What the monitor left (it was killed, or it never ran) goes with the cgroup.
  RETURN_IF_FAULT("remove_pod.cgroup");
  RETURN_IF_ERROR(EmptyAndRemoveCgroup(pod.status.cgroup));
  if (options_.systemd_cgroups) StopScope(pod);
  RETURN_IF_FAULT("remove_pod.state");
  RETURN_IF_ERROR(RemoveTreeAt(AT_FDCWD, PodStateDir(pod.id)));
  RETURN_IF_ERROR(DeletePod(database_, pod.id));
  if (!pod.status.selinux_level.empty()) selinux_categories_.Release(pod.status.selinux_level);
  return absl::OkStatus();
}

}  // namespace berth
