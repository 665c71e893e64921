// StartContainer: volumes, cgroup, log, and the plan for the monitor to carry out.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/failpoint.h"
#include "src/base/status_macros.h"
#include "src/base/undo.h"
#include "src/kernel/file.h"
#include "src/runtime/confinement.h"
#include "src/runtime/hooks.h"
#include "src/runtime/seccomp_listener.h"
#include "src/sandbox/container_spec.h"
#include "src/sandbox/node.h"

namespace berth {
namespace {

constexpr int kStartErrorCode = 128;
// Of a start, but for volumes and cgroups: the plan, the user namespace, the host's mounts, two
// directories of the cgroup, the log, the directory for a pid (MonitorClient::Start).
constexpr int kOtherStartFds = 7;

wire::PidMode PidModeOf(NamespaceMode mode) {
  switch (mode) {
    case NamespaceMode::kPod:
      return wire::PidMode::kPod;
    case NamespaceMode::kContainer:
      return wire::PidMode::kNew;
    case NamespaceMode::kNode:
      return wire::PidMode::kNode;
    case NamespaceMode::kTarget:
      return wire::PidMode::kContainer;
  }
  return wire::PidMode::kNew;
}

// Without room for its work directory overlayfs is mounted read-only, and says so to the kernel log
// alone: what fails then is some step that writes.
absl::Status WithFullDisk(const absl::Status& failed, const Node& node) {
  const absl::StatusOr<FileSystemFacts> disk = node.DataFileSystem();
  const bool full =
      disk.ok() && (disk->bytes_free == 0 || (disk->inodes > 0 && disk->inodes_free == 0));
  if (!full || absl::IsResourceExhausted(failed)) return failed;
  return absl::ResourceExhaustedError(
      absl::StrCat(failed.message(), " (", node.data_dir(), ": No space left on device)"));
}

// What an overlay that was mounted `volatile` leaves, so that it is not mounted again: it is about
// power cuts. Of a start that was cut off; mostly there is none.
void RemoveVolatileMark(const std::string& work) {
  ::unlink((work + "/work/incompat/volatile/dirty").c_str());
  ::rmdir((work + "/work/incompat/volatile").c_str());
}

}  // namespace

absl::Status Node::StartContainer(absl::string_view wanted) {
  ASSIGN_OR_RETURN(const ContainerPtr found, state_.FindContainer(wanted));
  const KeyedLocks::Hold hold = locks_.Lock(absl::StrCat("container/", found->id));
  ASSIGN_OR_RETURN(const ContainerPtr container, state_.FindContainer(found->id));
  // It would go without what is not read of the monitor yet: the pod's user namespace.
  if (container->status.unread || IsUnread(container->pod_id)) return UnreadError(*container);
  if (container->status.state != ContainerState::kCreated) {
    return absl::FailedPreconditionError(absl::StrCat(
        "container ", container->id, " is ",
        container->status.state == ContainerState::kRunning ? "running already"
                                                            : "exited; a container runs once"));
  }
  ASSIGN_OR_RETURN(const PodPtr pod, state_.FindPod(container->pod_id));
  RETURN_IF_ERROR(CheckReady(*pod));
  copies_.End(container->id);
  OperationLog::Operation operation = options_.operations->Begin(
      "StartContainer", {.name = SubjectOf(pod->config, container->config),
                         .pod_id = pod->id,
                         .container_id = container->id});
  const int64_t started_at = absl::GetCurrentTimeNanos();
  absl::StatusOr<int> pid = Launch(*container, *pod, operation);
  if (!pid.ok()) pid = WithFullDisk(pid.status(), *this);
  operation.End(pid.status()).IgnoreError();
  state_.UpdateContainer(container->id, [&](ContainerRecord& record) {
    ContainerStatus& status = record.status;
    if (!pid.ok()) {
      status.state = ContainerState::kExited;
      status.exit_code = kStartErrorCode;
      status.reason = kStartErrorReason;
      status.message = std::string(pid.status().message());
      status.finished_at = absl::GetCurrentTimeNanos();
      return;
    }
    status.pid = *pid;
    status.started_at = started_at;
    // A short process may have ended before its start was told of.
    if (status.state == ContainerState::kCreated) status.state = ContainerState::kRunning;
  });
  PersistContainer(container->id).IgnoreError();
  // Who is attached already waits for a start that will not come.
  if (!pid.ok()) Monitor(pod->id).Forget(container->id).IgnoreError();
  if (options_.plugins != nullptr) TellStart(*pod, container->id, pid.ok());
  RETURN_IF_FAULT("start_container.answer");
  return pid.ok()
             ? absl::OkStatus()
             : Annotate(pid.status(), absl::StrCat("start container ", container->config.name));
}

void Node::TellStart(const PodRecord& pod, const std::string& id, bool started) const {
  const absl::StatusOr<ContainerPtr> container = state_.FindContainer(id);
  if (!container.ok()) return;
  if (started) {
    options_.plugins->ContainerStarted(pod, **container);
  } else {
    options_.plugins->ContainerStopped(pod, **container);
  }
}

absl::StatusOr<int> Node::Launch(const ContainerRecord& container, const PodRecord& pod,
                                 OperationLog::Operation& operation) {
  if (options_.plugins != nullptr) {
    operation.Stage("plugins");
    RETURN_IF_ERROR(options_.plugins->StartContainer(pod, container));
  }
  operation.Stage("plan");
  ASSIGN_OR_RETURN(PreparedContainer prepared, PrepareContainer(container, pod));
  operation.Stage("volumes and log");
  ASSIGN_OR_RETURN(ContainerStart start, PrepareStart(container, pod, prepared));
  Undo undo;
  undo.Push([&] { cgroups_.Remove(container.cgroup).IgnoreError(); });
  const bool late = TakesStartRest(pod);
  operation.Stage("cgroup");
  RETURN_IF_ERROR(
      MakeContainerCgroup(container, late ? Cgroups::Part::kCgroup2 : Cgroups::Part::kAll));
  if (late) {
    start.make_rest = [&, rules = prepared.device_rules,
                       views = prepared.spec.namespaces.private_cgroup] {
      return MakeStartRest(container, pod, rules, views);
    };
  } else {
    RETURN_IF_ERROR(LimitContainer(container, prepared.device_rules));
    ASSIGN_OR_RETURN(start.log, OpenLog(container, pod));
  }
  RETURN_IF_FAULT("start_container.open");
  ASSIGN_OR_RETURN(
      const CgroupHandle cgroup,
      cgroups_.Open(container.cgroup, late ? Cgroups::Part::kCgroup2 : Cgroups::Part::kAll));
  start.cgroup = &cgroup;
  operation.Stage("launch");
  absl::StatusOr<int> pid =
      pod.config.runtime_handler.empty()
          ? LaunchBuiltIn(container, pod, std::move(prepared), std::move(start))
          : LaunchWithRuntime(container, pod, std::move(prepared), std::move(start));
  if (pid.ok()) undo.Commit();
  return pid;
}

// What a start in a user namespace, or by an OCI runtime, needs of its cgroups comes before its
// mounts. The kernel clones into cgroup2 only.
bool Node::TakesStartRest(const PodRecord& pod) const {
  return cgroups_.mode() == Cgroups::Mode::kHybrid && pod.config.runtime_handler.empty() &&
         pod.config.namespaces.user.IsNode() && Monitor(pod.id).IsOfThisVersion();
}

absl::Status Node::MakeContainerCgroup(const ContainerRecord& container, Cgroups::Part part) const {
  RETURN_IF_FAULT("start_container.cgroup");
  absl::Status made = cgroups_.CreateNew(container.cgroup, part);
  if (absl::IsAlreadyExists(made)) {
    // One that a start which was cut off has left: what is cloned into a cgroup that was killed
    // once is killed as well (kill_seq in kernel/cgroup/cgroup.c).
    RETURN_IF_ERROR(EmptyAndRemoveCgroup(container.cgroup));
    made = cgroups_.CreateNew(container.cgroup, part);
  }
  return made;
}

absl::Status Node::LimitContainer(const ContainerRecord& container,
                                  const std::vector<DeviceRule>& device_rules) const {
  CgroupLimits limits = LimitsOf(container);
  if (options_.pids_limit > 0) limits.pids = options_.pids_limit;
  RETURN_IF_FAULT("start_container.limits");
  RETURN_IF_ERROR(cgroups_.SetLimits(container.cgroup, limits));
  return cgroups_.RestrictDevices(container.cgroup, device_rules);
}

absl::StatusOr<StartRest> Node::MakeStartRest(const ContainerRecord& container,
                                              const PodRecord& pod,
                                              const std::vector<DeviceRule>& device_rules,
                                              bool with_views) const {
  StartRest rest;
  RETURN_IF_ERROR(cgroups_.CreateNew(container.cgroup, Cgroups::Part::kV1));
  RETURN_IF_ERROR(LimitContainer(container, device_rules));
  ASSIGN_OR_RETURN(rest.cgroups, cgroups_.Open(container.cgroup, Cgroups::Part::kV1));
  if (with_views) {
    ASSIGN_OR_RETURN(rest.views, cgroups_.OpenViews(container.cgroup));
  }
  ASSIGN_OR_RETURN(rest.log, OpenLog(container, pod));
  return rest;
}

absl::StatusOr<ContainerStart> Node::PrepareStart(const ContainerRecord& container,
                                                  const PodRecord& pod,
                                                  PreparedContainer& prepared) const {
  ContainerStart start{.container_id = container.id,
                       .pid_mode = PidModeOf(container.config.pid),
                       .terminal = container.config.tty,
                       .stdin_open = container.config.stdin_open,
                       .stdin_once = container.config.stdin_once,
                       .target_id = container.config.target_id};
  if (container.config.pid == NamespaceMode::kTarget) RETURN_IF_ERROR(CheckTarget(container));
  RETURN_IF_FAULT("start_container.volumes");
  RETURN_IF_ERROR(OpenContainerVolumes(&prepared));
  start.volumes = std::move(prepared.volumes);
  RemoveVolatileMark(ContainerDir(container.id) + "/work");
  ASSIGN_OR_RETURN(start.user_namespace, UserNamespaceOf(pod));
  if (options_.log_limits.bytes_per_second != 0 || options_.log_limits.max_bytes != 0)
    RETURN_IF_ERROR(Monitor(pod.id).LimitLogs(options_.log_limits));
  return start;
}

absl::StatusOr<int> Node::LaunchBuiltIn(const ContainerRecord& container, const PodRecord& pod,
                                        PreparedContainer prepared, ContainerStart start) {
  const ContainerSpec& spec = prepared.spec;
  if (!spec.hooks.poststop.empty()) {
    state_.UpdateContainer(container.id,
                           [](ContainerRecord& record) { record.status.poststop_due = true; });
    PersistContainer(container.id).IgnoreError();
  }
  if (spec.host_view.has_value()) {
    RETURN_IF_ERROR(MakeDirs(spec.host_view->bundle + "/rootfs", 0755));
    start.host_mounts = host_mounts_.get();
  }
  PlanFds fds{.cgroup_tasks = static_cast<int>(start.cgroup->tasks.size()),
              .user_namespace = start.user_namespace >= 0,
              .host_mounts = start.host_mounts >= 0,
              .late_cgroups = start.make_rest != nullptr};
  if (!fds.late_cgroups && TakesCgroupViews(spec, static_cast<int>(start.volumes.size()))) {
    ASSIGN_OR_RETURN(std::vector<UniqueFd> views, cgroups_.OpenViews(container.cgroup));
    fds.first_cgroup_view = static_cast<int>(start.volumes.size());
    std::move(views.begin(), views.end(), std::back_inserter(start.volumes));
  }
  fds.volumes = static_cast<int>(start.volumes.size());
  const LaunchPlan plan = BuildContainerPlan(spec, facts_, fds);
  start.plan = &plan;
  OciState state{.id = container.id,
                 .status = "creating",
                 .bundle = BundleDir(container.id),
                 .annotations = container.config.annotations};
  start.run_hooks = [&](pid_t pid) -> absl::Status {
    state.pid = pid;
    const std::string json = OciStateJson(state);
    RETURN_IF_ERROR(RunHooks(spec.hooks.prestart, json, kHookTimeout));
    return RunHooks(spec.hooks.create_runtime, json, kHookTimeout);
  };
  start.take_seccomp_listener = [&](pid_t pid, UniqueFd listener) {
    return SendSeccompListener(
        spec.identity.program,
        {.container_id = container.id, .bundle = BundleDir(container.id), .pid = pid}, listener);
  };
  RETURN_IF_FAULT("start_container.launch");
  ASSIGN_OR_RETURN(const pid_t pid, Monitor(pod.id).Start(std::move(start)));
  RETURN_IF_FAULT("start_container.launched");
  const absl::Status confined = VerifyConfinementOfPid(pid, ExpectedOf(spec.identity));
  if (!confined.ok()) {
    cgroups_.Kill(container.cgroup);
    return confined;
  }
  state.status = "running";
  state.pid = pid;
  RunAllHooks(spec.hooks.poststart, state);
  return pid;
}

// Who has so many volumes that a message would not hold the views as well mounts the hierarchies,
// as who sees the node's does.
bool Node::TakesCgroupViews(const ContainerSpec& spec, int volumes) const {
  const auto views = static_cast<int>(facts_.v1_hierarchies.size());
  return spec.namespaces.private_cgroup && !facts_.cgroup_v2 &&
         volumes + 2 * views + kOtherStartFds <= wire::kMaxMessageFds;
}

// A pid namespace to join has a process in it, and belongs to a container of the same pod.
absl::Status Node::CheckTarget(const ContainerRecord& container) const {
  ASSIGN_OR_RETURN(const ContainerPtr target, state_.FindContainer(container.config.target_id));
  if (target->pod_id != container.pod_id) {
    return absl::InvalidArgumentError(
        absl::StrCat("namespace_options.target_id: container ", target->id, " is of another pod"));
  }
  if (target->status.state != ContainerState::kRunning) {
    return absl::FailedPreconditionError(
        absl::StrCat("namespace_options.target_id: container ", target->id, " is not running"));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Node::UserNamespaceOf(const PodRecord& pod) const {
  int descriptor = -1;
  {
    absl::MutexLock lock(&mu_);
    const auto runtime = runtimes_.find(pod.id);
    if (runtime != runtimes_.end()) descriptor = runtime->second->user_namespace.get();
  }
  if (descriptor < 0 && !pod.config.namespaces.user.IsNode()) {
    return absl::FailedPreconditionError(
        absl::StrCat("pod sandbox ", pod.id, ": its monitor has handed out no user namespace"));
  }
  return descriptor;
}

// Once nothing of the container is left (config.md, "Poststop"); an OCI runtime runs its own.
void Node::RunPoststopHooks(const ContainerRecord& container, const PodRecord& pod) const {
  const absl::StatusOr<PreparedContainer> prepared = PrepareContainer(container, pod);
  if (!prepared.ok()) {
    log_.Warning("poststop hooks not run",
                 {{"container", container.id}, {"error", prepared.status().message()}});
    return;
  }
  RunAllHooks(prepared->spec.hooks.poststop, {.id = container.id,
                                              .status = "stopped",
                                              .pid = 0,
                                              .bundle = BundleDir(container.id),
                                              .annotations = container.config.annotations});
}

// Of hooks that come after the fact, one that fails does not keep the next from running
// (runtime.md, "Lifecycle").
void Node::RunAllHooks(const std::vector<Hook>& hooks, const OciState& state) const {
  for (const Hook& hook : hooks) {
    const absl::Status run = RunHooks({hook}, OciStateJson(state), kHookTimeout);
    if (run.ok()) continue;
    log_.Warning("hook failed", {{"container", state.id}, {"error", run.message()}});
  }
}

absl::StatusOr<UniqueFd> Node::OpenLog(const ContainerRecord& container,
                                       const PodRecord& pod) const {
  if (container.log_path.empty()) return UniqueFd();
  RETURN_IF_FAULT("start_container.log");
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

absl::StatusOr<ContainerSpec> Node::SpecOf(const ContainerRecord& container,
                                           const PodRecord& pod) const {
  ASSIGN_OR_RETURN(ContainerSpec spec, BuildContainerSpec(container, pod, SpecOptions()));
  if (container.adjustment != nullptr)
    RETURN_IF_ERROR(AdjustSpec(*container.adjustment, {}, &spec).status());
  return spec;
}

absl::StatusOr<LaunchPlan> Node::ContainerPlan(absl::string_view id) const {
  ASSIGN_OR_RETURN(const ContainerPtr container, state_.FindContainer(id));
  ASSIGN_OR_RETURN(const PodPtr pod, state_.FindPod(container->pod_id));
  ASSIGN_OR_RETURN(PreparedContainer prepared, PrepareContainer(*container, *pod));
  const int volumes = static_cast<int>(NumberVolumes(&prepared.spec).size());
  if (!pod->config.runtime_handler.empty())
    prepared.spec.host_view = HostView{.bundle = BundleDir(container->id)};
  const bool late = TakesStartRest(*pod);
  PlanFds fds{.cgroup_tasks = late ? 0 : static_cast<int>(facts_.v1_hierarchies.size()),
              .volumes = volumes,
              .user_namespace = !pod->config.namespaces.user.IsNode(),
              .host_mounts = prepared.spec.host_view.has_value(),
              .late_cgroups = late};
  if (pod->config.runtime_handler.empty()) {
    if (!late && TakesCgroupViews(prepared.spec, volumes)) {
      fds.first_cgroup_view = volumes;
      fds.volumes += static_cast<int>(facts_.v1_hierarchies.size());
    }
    return BuildContainerPlan(prepared.spec, facts_, fds);
  }
  return BuildOciCreatePlan(prepared.spec, facts_, fds, RuntimeOf(*pod), container->id);
}

}  // namespace berth
