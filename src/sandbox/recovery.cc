// What ends by itself, and what an earlier berthd left: events of monitors, lost monitors, and the
// start.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <thread>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/failpoint.h"
#include "src/base/start_thread.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/kernel/file.h"
#include "src/kernel/socket.h"
#include "src/sandbox/node.h"
#include "src/store/pods.h"

namespace berth {
namespace {

constexpr int kRecoveryThreads = 32;
// Of each monitor, before the socket is opened; and later, again and again.
constexpr absl::Duration kStartPatience = absl::Seconds(2), kLatePatience = absl::Seconds(2);
constexpr absl::Duration kLateInterval = absl::Seconds(1);
constexpr int kUnknownExitCode = 255;

// It closes the connection on a message of a version that it does not know.
absl::Status OfLivingMonitor(const absl::Status& failed) {
  if (!absl::IsUnavailable(failed)) return failed;
  return absl::FailedPreconditionError(absl::StrCat("monitor: does not speak protocol version ",
                                                    wire::kProtocolVersion,
                                                    ", which "
                                                    "this berthd speaks"));
}

}  // namespace

void Node::MarkExited(absl::string_view id, const WatchEvent& event) {
  bool ended = false;
  const ContainerPtr container = state_.UpdateContainer(id, [&](ContainerRecord& record) {
    ContainerStatus& status = record.status;
    status.unread = false;
    if (status.state == ContainerState::kExited) return;
    ended = true;
    status.state = ContainerState::kExited;
    status.exit_code = event.exit_code;
    // The node's time may have been set back meanwhile.
    status.finished_at = std::max(event.finished_at, status.started_at);
    if (status.started_at == 0) status.started_at = event.finished_at;
    status.reason = event.oom ? "OOMKilled" : event.exit_code == 0 ? "Completed" : "Error";
    CountLogDropped(event, &status);
  });
  if (container == nullptr) return;
  // Who waits for that end may have been woken on this processor, and goes first.
  ::sched_yield();
  if (ended && event.oom) ++counters_.oom_kills;
  PersistContainer(id).IgnoreError();
  if (ended) TellExited(container);
  // Empty by now; if something in it is still dying, the container's removal gets it.
  const KeyedLocks::Hold hold = locks_.Lock(absl::StrCat("cgroup/", id));
  if (cgroups_.Remove(container->cgroup).ok())
    state_.UpdateContainer(id,
                           [](ContainerRecord& record) { record.status.cgroup_removed = true; });
}

// Here nobody may be waited for: it is the thread that hears of all ends.
void Node::TellExited(const ContainerPtr& container) const {
  if (options_.plugins == nullptr || container->status.state != ContainerState::kExited) return;
  const absl::StatusOr<PodPtr> pod = state_.FindPod(container->pod_id);
  if (pod.ok()) options_.plugins->ContainerExited(*pod, container);
}

// What is not persisted yet the monitor tells again after a restart.
void Node::CountLogDropped(const WatchEvent& event, ContainerStatus* status) {
  if (event.log_dropped_bytes <= status->log_dropped_bytes) return;
  log_dropped_bytes_ += event.log_dropped_bytes - status->log_dropped_bytes;
  status->log_dropped_bytes = event.log_dropped_bytes;
}

void Node::OnContainerEvent(const std::string&, const WatchEvent& event) {
  if (event.log_dropped) {
    state_.UpdateContainer(event.container_id, [&](ContainerRecord& record) {
      CountLogDropped(event, &record.status);
    });
    return;
  }
  if (!event.running) return MarkExited(event.container_id, event);
  const ContainerPtr container =
      state_.UpdateContainer(event.container_id, [&](ContainerRecord& record) {
        record.status.unread = false;
        if (record.status.state != ContainerState::kCreated) return;
        record.status.state = ContainerState::kRunning;
        record.status.pid = event.pid;
        if (record.status.started_at == 0) record.status.started_at = absl::GetCurrentTimeNanos();
      });
  if (container != nullptr) PersistContainer(event.container_id).IgnoreError();
}

// A monitor also hangs up on who did not read for too long, and goes on.
void Node::OnWatchLost(const std::string& pod_id) {
  if (Monitor(pod_id).IsGone()) return OnMonitorLost(pod_id);
  log_.Warning("watch of a pod has ended; it is begun again", {{"pod", pod_id}});
  absl::MutexLock lock(&mu_);
  unwatched_.insert(pod_id);
}

void Node::OnMonitorLost(const std::string& pod_id) {
  const absl::StatusOr<PodPtr> pod = state_.FindPod(pod_id);
  if (!pod.ok()) return;
  log_.Error("monitor of a pod is gone; its containers are ended", {{"pod", pod_id}});
  ++counters_.monitors_lost;
  cgroups_.Kill((*pod)->status.cgroup);
  MarkLost(**pod, "the pod's monitor ended unexpectedly");
}

void Node::MarkLost(const PodRecord& pod, absl::string_view why) {
  for (const ContainerPtr& container : Snapshot()->ContainersOf(pod.id)) {
    if (container->status.state == ContainerState::kExited) continue;
    const std::string& id = container->id;
    const absl::StatusOr<WatchEvent> record = ReadExitRecord(PodStateDir(pod.id), id);
    if (record.ok()) {
      MarkExited(id, *record);
      continue;
    }
    state_.UpdateContainer(id, [&](ContainerRecord& changed) {
      changed.status.unread = false;
      if (changed.status.state == ContainerState::kCreated) return;
      changed.status.state = ContainerState::kExited;
      changed.status.exit_code = kUnknownExitCode;
      changed.status.reason = "Unknown";
      changed.status.message = std::string(why);
      changed.status.finished_at = absl::GetCurrentTimeNanos();
    });
    PersistContainer(id).IgnoreError();
    if (const absl::StatusOr<ContainerPtr> lost = state_.FindContainer(id); lost.ok())
      TellExited(*lost);
  }
  state_.UpdatePod(pod.id, [](PodStatus& status) { status.state = PodState::kNotReady; });
  PersistPod(pod.id).IgnoreError();
}

absl::Status Node::Recover() {
  RETURN_IF_ERROR(LoadRecords());
  const std::shared_ptr<const NodeSnapshot> snapshot = Snapshot();
  std::vector<PodPtr> pods;
  for (const auto& [id, pod] : snapshot->pods) {
    pods.push_back(pod);
    // It has it until its removal gives it back, whether it runs or can be asked or not.
    if (!pod->status.selinux_level.empty())
      selinux_categories_.Reserve(pod->status.selinux_level).IgnoreError();
  }
  std::atomic<size_t> next = 0;
  const auto recover = [&] {
    for (size_t at = next++; at < pods.size(); at = next++) {
      const absl::Status recovered = RecoverPod(pods[at], kStartPatience);
      if (recovered.ok()) continue;
      log_.Error("pod not recovered yet", {{"pod", pods[at]->id}, {"error", recovered.message()}});
      absl::MutexLock lock(&mu_);
      unread_[pods[at]->id] = std::string(recovered.message());
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < std::min<int>(kRecoveryThreads, static_cast<int>(pods.size())); ++i) {
    absl::StatusOr<std::thread> thread = StartThread("of the recovery", recover);
    if (!thread.ok()) break;
    threads.push_back(*std::move(thread));
  }
  recover();
  for (std::thread& thread : threads) thread.join();
  RecoverNetworks();
  FAILPOINT("recover.orphans");
  RemoveOrphans();
  return absl::OkStatus();
}

absl::Status Node::RecoverPod(const PodPtr& pod, absl::Duration patience) {
  if (pod->status.boot_id != boot_id_) {
    MarkLost(*pod, "the node was rebooted");
    return absl::OkStatus();
  }
  if (pod->status.state == PodState::kCreating) {
    // Its caller never got an answer: the whole attempt is undone, and a retry starts anew.
    RETURN_IF_ERROR(DiscardPod(*pod));
    state_.RemovePod(pod->id);
    return absl::OkStatus();
  }
  const MonitorClient monitor = Monitor(pod->id);
  RETURN_IF_FAULT("recover.hello");
  const std::vector<ContainerPtr> before = Snapshot()->ContainersOf(pod->id);
  absl::StatusOr<MonitorHello> hello = monitor.Hello({}, patience);
  absl::StatusOr<UniqueFd> watch =
      hello.ok() ? monitor.Watch() : absl::StatusOr<UniqueFd>(hello.status());
  if (!watch.ok()) {
    if (!monitor.IsGone()) return OfLivingMonitor(watch.status());
    cgroups_.Kill(pod->status.cgroup);
    MarkLost(*pod, "the pod's monitor ended while berthd was not running");
    return absl::OkStatus();
  }
  auto runtime = std::make_unique<PodRuntime>();
  runtime->netlink = SetAside(std::move(hello->netlink));
  runtime->user_namespace = std::move(hello->user_namespace);
  RETURN_IF_FAULT("recover.watch");
  RETURN_IF_ERROR(ReadWatch(watch->get(), *pod, before, patience));
  {
    absl::MutexLock lock(&mu_);
    runtimes_[pod->id] = std::move(runtime);
  }
  return watcher_->Add(pod->id, *std::move(watch));
}

absl::Status Node::ReadWatch(int watch, const PodRecord& pod,
                             const std::vector<ContainerPtr>& before, absl::Duration patience) {
  absl::flat_hash_set<std::string> known;
  while (true) {
    ASSIGN_OR_RETURN(const Packet packet, ReceivePacket(watch, SteadyNow() + patience));
    ASSIGN_OR_RETURN(const std::optional<WatchEvent> event, ParseWatchEvent(packet.data));
    if (!event.has_value()) break;
    known.insert(event->container_id);
    OnContainerEvent(pod.id, *event);
  }
  // A container that runs by its record but that the monitor does not know has lost its exit.
  for (const ContainerPtr& container : before) {
    const std::string& id = container->id;
    if (container->status.state == ContainerState::kRunning && !known.contains(id)) {
      const absl::StatusOr<WatchEvent> record = ReadExitRecord(PodStateDir(pod.id), id);
      MarkExited(id, record.ok() ? *record
                                 : WatchEvent{.container_id = id,
                                              .exit_code = kUnknownExitCode,
                                              .finished_at = absl::GetCurrentTimeNanos()});
    }
    if (container->status.unread)
      state_.UpdateContainer(id, [](ContainerRecord& read) { read.status.unread = false; });
  }
  return absl::OkStatus();
}

// Each pod once in an interval, however often its monitor hangs up.
void Node::KeepWatching() {
  while (true) {
    absl::flat_hash_set<std::string> unwatched;
    {
      absl::MutexLock lock(&mu_);
      AwaitFor(mu_, absl::Condition(&stopping_), kLateInterval);
      const auto woken = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return stopping_ || !unwatched_.empty();
      };
      mu_.Await(absl::Condition(&woken));
      if (stopping_) return;
      unwatched = unwatched_;
    }
    for (const std::string& id : unwatched) WatchAgain(id);
  }
}

// Without the pod's lock: who stops a container or the pod holds it, and waits for what is read
// here.
void Node::WatchAgain(const std::string& pod_id) {
  const absl::StatusOr<PodPtr> pod = state_.FindPod(pod_id);
  if (!pod.ok()) {
    absl::MutexLock lock(&mu_);
    unwatched_.erase(pod_id);
    return;
  }
  const MonitorClient monitor = Monitor(pod_id);
  const std::vector<ContainerPtr> before = Snapshot()->ContainersOf(pod_id);
  absl::StatusOr<UniqueFd> watch = monitor.Watch();
  absl::Status watched =
      watch.ok() ? ReadWatch(watch->get(), **pod, before, kLatePatience) : watch.status();
  const bool gone = !watched.ok() && monitor.IsGone();
  {
    absl::MutexLock lock(&mu_);
    if (!unwatched_.contains(pod_id)) return;  // its monitor has been told to end meanwhile
    if (watched.ok()) watched = watcher_->Add(pod_id, *std::move(watch));
    if (!watched.ok() && !gone) return;
    unwatched_.erase(pod_id);
  }
  if (gone) return OnMonitorLost(pod_id);
  log_.Info("pod is watched again", {{"pod", pod_id}});
}

// Goes on asking monitors that did not answer at the start, until each has, or its pod is gone.
void Node::RecoverLate() {
  while (true) {
    absl::flat_hash_map<std::string, std::string> unread;
    {
      absl::MutexLock lock(&mu_);
      if (unread_.empty()) return;
      AwaitFor(mu_, absl::Condition(&stopping_), kLateInterval);
      if (stopping_) return;
      unread = unread_;
    }
    for (const auto& [id, why] : unread) {
      const KeyedLocks::Hold hold = locks_.Lock(absl::StrCat("pod/", id));
      if (!IsUnread(id)) continue;  // a stop has read it meanwhile
      const absl::StatusOr<PodPtr> pod = state_.FindPod(id);
      const absl::Status recovered = pod.ok() ? RecoverPod(*pod, kLatePatience) : absl::OkStatus();
      if (!recovered.ok() && recovered.message() != why)
        log_.Error("pod not recovered yet", {{"pod", id}, {"error", recovered.message()}});
      if (recovered.ok()) log_.Info("pod recovered late", {{"pod", id}});
      absl::MutexLock lock(&mu_);
      if (stopping_) return;
      if (recovered.ok()) {
        unread_.erase(id);
      } else {
        unread_[id] = std::string(recovered.message());
      }
    }
  }
}

bool Node::IsUnread(absl::string_view pod_id) const {
  absl::MutexLock lock(&mu_);
  return unread_.contains(pod_id);
}

void Node::RecoverNetworks() {
  absl::flat_hash_set<std::string> with_network;
  const std::shared_ptr<const NodeSnapshot> recovered = Snapshot();
  for (const auto& [id, pod] : recovered->pods) {
    if (pod->status.ips.empty() || pod->status.boot_id != boot_id_) continue;
    with_network.insert(id);
    network_.Adopt(id, pod->config.ports);
  }
  network_.Reconcile(with_network);
}

// What lies below our own roots and no record speaks of.
void Node::RemoveOrphans() {
  const std::shared_ptr<const NodeSnapshot> snapshot = Snapshot();
  const absl::StatusOr<std::vector<std::string>> states =
      ListDir(AT_FDCWD, options_.state_dir + "/pods");
  for (const std::string& id : states.value_or(std::vector<std::string>())) {
    if (snapshot->pods.find(id) == snapshot->pods.end()) EndOrphanedMonitor(id);
  }
  const auto sweep = [&](const std::string& directory, const auto& known) {
    const absl::StatusOr<std::vector<std::string>> names = ListDir(AT_FDCWD, directory);
    for (const std::string& name : names.value_or(std::vector<std::string>())) {
      if (known.find(name) != known.end()) continue;
      const std::string path = absl::StrCat(directory, "/", name);
      if (const absl::Status moved = MoveToTrash(path); !moved.ok()) {
        log_.Warning("orphaned directory is left", {{"path", path}, {"error", moved.message()}});
        continue;
      }
      ++counters_.leaks_reaped;
      log_.Warning("orphaned directory removed", {{"path", path}});
    }
  };
  sweep(options_.data_dir + "/pods", snapshot->pods);
  sweep(options_.data_dir + "/containers", snapshot->containers);
}

// Nothing tells what it was asked for.
void Node::EndOrphanedMonitor(const std::string& pod_id) {
  PodRecord pod;
  pod.id = pod_id;
  pod.status.cgroup = CgroupOfUnreadable(pod);
  ++counters_.leaks_reaped;
  log_.Error("pod without a record ended", {{"pod", pod_id}, {"cgroup", pod.status.cgroup}});
  Monitor(pod_id).Shutdown(kStartPatience).IgnoreError();
  absl::Status ended = EmptyAndRemoveCgroup(pod.status.cgroup);
  ended.Update(RemoveTreeAt(AT_FDCWD, PodStateDir(pod_id)));
  if (!ended.ok())
    log_.Warning("pod not removed whole", {{"pod", pod_id}, {"error", ended.message()}});
}

}  // namespace berth
