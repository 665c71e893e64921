// RunPodSandbox: directories, cgroup, monitor, network; undone in reverse if a step fails.
#include <fcntl.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "src/base/id.h"
#include "src/base/status_macros.h"
#include "src/base/undo.h"
#include "src/kernel/file.h"
#include "src/runtime/volumes.h"
#include "src/sandbox/node.h"
#include "src/sandbox/pod_files.h"
#include "src/store/pods.h"

namespace berth {
namespace {

constexpr absl::Duration kVolumeTimeout = absl::Seconds(10);

std::string NameOf(const PodConfig& config) {
  return absl::StrCat(config.name, "/", config.pod_namespace, "/", config.uid, "/", config.attempt);
}

}  // namespace

absl::StatusOr<std::string> Node::RunPod(ParsedPod pod) {
  const std::string name = NameOf(pod.config);
  return pod_creations_.Run(name, pod.bytes, [&]() -> absl::StatusOr<std::string> {
    const std::shared_ptr<const NodeSnapshot> snapshot = Snapshot();
    for (const auto& [id, existing] : snapshot->pods) {
      if (NameOf(existing->config) != name) continue;
      if (existing->request_bytes == pod.bytes && existing->status.state == PodState::kReady)
        return id;
      return absl::AlreadyExistsError(
          absl::StrCat("pod sandbox \"", name, "\" exists already with id ", id));
    }
    return MakePod(pod, name);
  });
}

absl::StatusOr<std::string> Node::MakePod(const ParsedPod& pod, const std::string& name) {
  auto record = std::make_shared<PodRecord>();
  record->id = NewId();
  record->created_at = absl::GetCurrentTimeNanos();
  record->config = pod.config;
  record->request = pod.request;
  record->request_bytes = pod.bytes;
  const std::string parent =
      pod.config.cgroup_parent.empty() ? options_.cgroup_root : pod.config.cgroup_parent;
  record->status.cgroup = absl::StrCat(absl::StripSuffix(parent, "/"), "/", record->id);
  record->status.boot_id = boot_id_;

  Undo undo;
  RETURN_IF_ERROR(InsertPod(database_, {.id = record->id,
                                        .name = name,
                                        .created_at = record->created_at,
                                        .config = pod.bytes,
                                        .status = EncodePodStatus(record->status)}));
  undo.Push([&] { DiscardPod(*record); });
  if (!pod.config.log_directory.empty()) RETURN_IF_ERROR(MakeDirs(pod.config.log_directory, 0755));
  RETURN_IF_ERROR(MakeDirs(PodDataDir(record->id), 0700));
  RETURN_IF_ERROR(WritePodFiles(PodDataDir(record->id), pod.config));
  RETURN_IF_ERROR(MakeDirs(PodStateDir(record->id), 0700));

  SpawnedProcess process;
  absl::StatusOr<MonitorHello> hello = StartMonitor(*record, &process);
  record->status.monitor_pid = process.pid;
  {
    absl::MutexLock lock(&mu_);
    runtimes_[record->id] = std::make_unique<PodRuntime>();
    runtimes_[record->id]->monitor = std::move(process.pidfd);
  }
  if (!hello.ok()) return hello.status();
  if (pod.config.namespaces.network == NamespaceMode::kPod) {
    ASSIGN_OR_RETURN(record->status.ips, network_.Attach(record->id, hello->network_namespace.get(),
                                                         hello->netlink.get()));
    RETURN_IF_ERROR(WriteHostsFile(PodDataDir(record->id), pod.config, record->status.ips));
    absl::MutexLock lock(&mu_);
    runtimes_[record->id]->netlink = std::move(hello->netlink);
  }
  ASSIGN_OR_RETURN(UniqueFd watch, Monitor(record->id).Watch());
  record->status.state = PodState::kReady;
  RETURN_IF_ERROR(UpdatePodStatus(database_, record->id, EncodePodStatus(record->status)));
  state_.PutPod(record);
  undo.Commit();
  const absl::Status watching = watcher_->Add(record->id, std::move(watch));
  if (!watching.ok())
    log_.Error("pod not watched", {{"pod", record->id}, {"error", watching.message()}});
  return record->id;
}

absl::StatusOr<MonitorHello> Node::StartMonitor(const PodRecord& pod, SpawnedProcess* process) {
  const std::string leaf = pod.status.cgroup + "/monitor";
  RETURN_IF_ERROR(cgroups_.CreateAccounting(leaf));
  ASSIGN_OR_RETURN(const CgroupHandle cgroup, cgroups_.Open(leaf));
  std::vector<OpenedVolume> volumes;
  std::vector<int> fds;
  if (pod.config.namespaces.ipc == NamespaceMode::kNode) {
    ASSIGN_OR_RETURN(volumes, OpenVolumes(monitor_executable_.get(), {"/dev/shm"}, kVolumeTimeout));
    fds.push_back(volumes[0].tree.get());
  }
  const LaunchPlan plan = BuildPodPlan(pod.config.namespaces, /*host_shm_fd=*/0);
  ASSIGN_OR_RETURN(*process,
                   MonitorClient::Spawn({
                       .executable = monitor_executable_.get(),
                       .pod_id = pod.id,
                       .state_dir = PodStateDir(pod.id),
                       .mount_namespace = mount_namespace_.get(),
                       .pod_plan = &plan,
                       .plan_fds = fds,
                       .pod_pid_namespace = pod.config.namespaces.pid == NamespaceMode::kPod,
                       .cgroup = &cgroup,
                   }));
  return Monitor(pod.id).Hello(plan);
}

}  // namespace berth
