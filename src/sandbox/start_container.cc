// StartContainer: volumes, cgroup, log, and the plan for the monitor to carry out.
#include <fcntl.h>
#include <sys/stat.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/base/undo.h"
#include "src/kernel/file.h"
#include "src/runtime/volumes.h"
#include "src/sandbox/container_spec.h"
#include "src/sandbox/node.h"

namespace berth {
namespace {

constexpr absl::Duration kVolumeTimeout = absl::Seconds(30);
constexpr int kStartErrorCode = 128;

wire::PidMode PidModeOf(NamespaceMode mode) {
  switch (mode) {
    case NamespaceMode::kPod:
      return wire::PidMode::kPod;
    case NamespaceMode::kContainer:
      return wire::PidMode::kNew;
    case NamespaceMode::kNode:
      return wire::PidMode::kNode;
  }
  return wire::PidMode::kNew;
}

}  // namespace

absl::Status Node::StartContainer(absl::string_view wanted) {
  ASSIGN_OR_RETURN(const ContainerPtr found, state_.FindContainer(wanted));
  const KeyedLocks::Hold hold = locks_.Lock(absl::StrCat("container/", found->id));
  ASSIGN_OR_RETURN(const ContainerPtr container, state_.FindContainer(found->id));
  if (container->status.state != ContainerState::kCreated) {
    return absl::FailedPreconditionError(absl::StrCat(
        "container ", container->id, " is ",
        container->status.state == ContainerState::kRunning ? "running already"
                                                            : "exited; a container runs once"));
  }
  ASSIGN_OR_RETURN(const PodPtr pod, state_.FindPod(container->pod_id));
  if (pod->status.state != PodState::kReady) {
    return absl::FailedPreconditionError(absl::StrCat("pod sandbox ", pod->id, " is not ready"));
  }
  const int64_t started_at = absl::GetCurrentTimeNanos();
  const absl::StatusOr<int> pid = Launch(*container, *pod);
  state_.UpdateContainer(container->id, [&](ContainerRecord& record) {
    ContainerStatus& status = record.status;
    if (!pid.ok()) {
      status.state = ContainerState::kExited;
      status.exit_code = kStartErrorCode;
      status.reason = "StartError";
      status.message = std::string(pid.status().message());
      status.finished_at = absl::GetCurrentTimeNanos();
      return;
    }
    status.pid = *pid;
    status.started_at = started_at;
    // A short process may have ended before its start was told of.
    if (status.state == ContainerState::kCreated) status.state = ContainerState::kRunning;
  });
  PersistContainer(container->id);
  {
    absl::MutexLock lock(&mu_);
    sample_layers_now_ = true;
  }
  return pid.ok()
             ? absl::OkStatus()
             : Annotate(pid.status(), absl::StrCat("start container ", container->config.name));
}

absl::StatusOr<int> Node::Launch(const ContainerRecord& container, const PodRecord& pod) {
  ASSIGN_OR_RETURN(ContainerSpec spec, BuildContainerSpec(container, pod));
  if (container.config.seccomp == SeccompMode::kRuntimeDefault) {
    ASSIGN_OR_RETURN(spec.identity.seccomp, seccomp_.Default(spec.identity.capabilities));
  }
  std::vector<std::string> paths;
  for (const BindMount& mount : container.config.mounts) paths.push_back(mount.host_path);
  ASSIGN_OR_RETURN(std::vector<OpenedVolume> volumes,
                   OpenVolumes(monitor_executable_.get(), paths, kVolumeTimeout));

  Undo undo;
  ASSIGN_OR_RETURN(UniqueFd log, OpenLog(container, pod));
  undo.Push([&] { cgroups_.Remove(container.cgroup).IgnoreError(); });
  RETURN_IF_ERROR(cgroups_.Create(container.cgroup));
  CgroupLimits limits = container.config.limits;
  if (options_.pids_limit > 0) limits.pids = options_.pids_limit;
  RETURN_IF_ERROR(cgroups_.SetLimits(container.cgroup, limits));
  RETURN_IF_ERROR(cgroups_.RestrictDevices(container.cgroup));
  ASSIGN_OR_RETURN(const CgroupHandle cgroup, cgroups_.Open(container.cgroup));

  ContainerStart start{.container_id = container.id,
                       .cgroup = &cgroup,
                       .pid_mode = PidModeOf(container.config.pid),
                       .terminal = container.config.tty,
                       .log = std::move(log)};
  for (size_t i = 0; i < volumes.size(); ++i) {
    spec.volumes[i].is_directory = volumes[i].is_directory;
    start.volumes.push_back(std::move(volumes[i].tree));
  }
  const LaunchPlan plan = BuildContainerPlan(spec, facts_,
                                             {.cgroup_tasks = static_cast<int>(cgroup.tasks.size()),
                                              .volumes = static_cast<int>(start.volumes.size())});
  start.plan = &plan;
  ASSIGN_OR_RETURN(const pid_t pid, Monitor(pod.id).Start(std::move(start)));
  undo.Commit();
  return pid;
}

absl::StatusOr<UniqueFd> Node::OpenLog(const ContainerRecord& container,
                                       const PodRecord& pod) const {
  if (container.log_path.empty()) return UniqueFd();
  // Below the pod's log directory, whatever links a tenant may have put there.
  const std::string& relative = container.config.log_path;
  ASSIGN_OR_RETURN(UniqueFd directory, OpenDir(AT_FDCWD, pod.config.log_directory));
  size_t begin = 0;
  for (size_t slash = relative.find('/'); slash != std::string::npos;
       slash = relative.find('/', begin)) {
    const std::string part = relative.substr(begin, slash - begin);
    begin = slash + 1;
    if (part.empty()) continue;
    if (part == "..")
      return absl::InvalidArgumentError(absl::StrCat("log_path ", relative, ": has \"..\""));
    if (::mkdirat(directory.get(), part.c_str(), 0755) != 0 && errno != EEXIST)
      return ErrnoStatus("mkdir", container.log_path);
    ASSIGN_OR_RETURN(directory,
                     OpenFile(directory.get(), part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  }
  absl::StatusOr<UniqueFd> log =
      OpenFile(directory.get(), relative.substr(begin),
               O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK, 0640);
  if (!log.ok()) return Annotate(log.status(), absl::StrCat("log ", container.log_path));
  struct stat info;
  if (::fstat(log->get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat("log ", container.log_path, ": not a regular file"));
  }
  return log;
}

absl::StatusOr<LaunchPlan> Node::ContainerPlan(absl::string_view id) const {
  ASSIGN_OR_RETURN(const ContainerPtr container, state_.FindContainer(id));
  ASSIGN_OR_RETURN(const PodPtr pod, state_.FindPod(container->pod_id));
  ASSIGN_OR_RETURN(ContainerSpec spec, BuildContainerSpec(*container, *pod));
  if (container->config.seccomp == SeccompMode::kRuntimeDefault) {
    ASSIGN_OR_RETURN(spec.identity.seccomp,
                     CompileDefaultSeccompProfile(spec.identity.capabilities));
  }
  return BuildContainerPlan(spec, facts_,
                            {.cgroup_tasks = static_cast<int>(facts_.v1_hierarchies.size()),
                             .volumes = static_cast<int>(spec.volumes.size())});
}

}  // namespace berth
