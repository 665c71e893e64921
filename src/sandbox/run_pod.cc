// RunPodSandbox: directories, monitor, cgroup, network; undone in reverse if a step fails.
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "src/base/failpoint.h"
#include "src/base/id.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/base/undo.h"
#include "src/kernel/file.h"
#include "src/kernel/process.h"
#include "src/kernel/systemd_scope.h"
#include "src/runtime/volumes.h"
#include "src/sandbox/node.h"
#include "src/sandbox/pod_files.h"
#include "src/sandbox/pod_network.h"
#include "src/sandbox/record_file.h"
#include "src/store/attachments.h"
#include "src/store/pods.h"

namespace berth {
namespace {

constexpr absl::Duration kVolumeTimeout = absl::Seconds(10);
constexpr absl::Duration kScopeTimeout = absl::Seconds(30);

std::string ScopeUnit(absl::string_view pod_id) { return absl::StrCat("berth-", pod_id, ".scope"); }

}  // namespace

absl::StatusOr<std::string> Node::RunPod(ParsedPod pod) {
  const std::string name = UniqueName(pod.config);
  return pod_creations_.Run(name, pod.bytes, [&]() -> absl::StatusOr<std::string> {
    if (const PodPtr existing = Snapshot()->PodNamed(name); existing != nullptr) {
      if (existing->request_bytes == pod.bytes && existing->status.state == PodState::kReady)
        return existing->id;
      if (existing->status.state != PodState::kCreating) {
        return absl::AlreadyExistsError(
            absl::StrCat("pod sandbox \"", name, "\" exists already with id ", existing->id));
      }
      const KeyedLocks::Hold hold = locks_.Lock(absl::StrCat("pod/", existing->id));
      if (state_.FindPod(existing->id).ok()) {  // else a removal has done it meanwhile
        RETURN_IF_ERROR(DiscardPod(*existing));
        state_.RemovePod(existing->id);
      }
    }
    OperationLog::Operation operation =
        options_.operations->Begin("RunPodSandbox", {.name = SubjectOf(pod.config)});
    absl::StatusOr<std::string> made = MakePod(pod, name, operation);
    operation.End(made.status()).IgnoreError();
    return made;
  });
}

absl::StatusOr<std::string> Node::MakePod(const ParsedPod& pod, const std::string& name,
                                          OperationLog::Operation& operation) {
  const bool own_network = pod.config.namespaces.network == NamespaceMode::kPod;
  NetworkClaim claim;
  auto record = std::make_shared<PodRecord>();
  LifecyclePlugins::Admission admission;  // once plugins are told of it
  Undo undo;
  if (own_network) {
    operation.Stage("claim");
    ASSIGN_OR_RETURN(claim, network_.Begin({.ports = pod.config.ports,
                                            .made_in_advance = MayBeMadeInAdvance(pod.config)}));
    undo.Push([&] { network_.Detach(claim.pod_id).IgnoreError(); });
  }
  record->id = claim.pod_id.empty() ? NewId() : claim.pod_id;
  operation.SetPod(record->id);
  operation.Stage("record");
  record->created_at = absl::GetCurrentTimeNanos();
  record->config = pod.config;
  record->request = pod.request;
  record->request_bytes = pod.bytes;
  ASSIGN_OR_RETURN(record->status.cgroup, PodCgroup(*record));
  record->status.boot_id = boot_id_;

  RETURN_IF_FAULT("run_pod.record");
  RETURN_IF_ERROR(InsertPod(database_, {.id = record->id,
                                        .name = name,
                                        .created_at = record->created_at,
                                        .config = pod.bytes,
                                        .status = EncodePodStatus(record->status)}));
  undo.Push([&] { AbandonPod(record); });
  if (lsm_.selinux) {
    ASSIGN_OR_RETURN(record->status.selinux_level, selinux_categories_.Allocate());
  }
  operation.Stage("monitor");
  ParkedProcess parked;
  if (options_.systemd_cgroups) {
    ASSIGN_OR_RETURN(parked, MakeScope(*record));
  }
  ASSIGN_OR_RETURN(StartedMonitor started, StartMonitor(record.get(), claim.netns.get()));
  // While it carries out its plan.
  operation.Stage("files");
  if (!pod.config.log_directory.empty()) RETURN_IF_ERROR(MakeDirs(pod.config.log_directory, 0755));
  RETURN_IF_FAULT("run_pod.files");
  RETURN_IF_ERROR(ready_directories_->Take(ReadyDirectories::Kind::kPod, PodDataDir(record->id)));
  RETURN_IF_ERROR(WritePodFiles(PodDataDir(record->id), pod.config));
  const auto attach = [&](const MonitorHello& monitor) -> absl::Status {
    operation.Stage("network");
    RETURN_IF_FAULT("run_pod.network");
    ASSIGN_OR_RETURN(record->status.ips, AttachNetwork(*record, monitor));
    RETURN_IF_FAULT("run_pod.hosts");
    return WriteHostsFile(PodDataDir(record->id), pod.config, record->status.ips);
  };
  // The monitor writes sysctls, which come before the link is up.
  const bool attach_at_once = claim.complete && pod.config.namespaces.sysctls.empty();
  if (attach_at_once) RETURN_IF_ERROR(attach(MonitorHello()));
  operation.Stage("monitor ready");
  RETURN_IF_FAULT("run_pod.hello");
  ASSIGN_OR_RETURN(MonitorHello hello,
                   Monitor(record->id).AwaitGreeting(std::move(started.greeting), started.plan));
  parked.End();  // reaped before there is a container: it keeps controllers off
  record->status.pod_init_pid = hello.pod_init_pid;
  if (own_network && !attach_at_once) RETURN_IF_ERROR(attach(hello));
  {
    absl::MutexLock lock(&mu_);
    PodRuntime& runtime = *runtimes_[record->id];
    runtime.user_namespace = std::move(hello.user_namespace);
    if (own_network) runtime.netlink = SetAside(std::move(hello.netlink));
  }
  if (options_.plugins != nullptr) {
    operation.Stage("plugins");
    admission = options_.plugins->HoldAdmission();
    undo.Push([&] {
      options_.plugins->PodStopped(*record);
      options_.plugins->PodRemoved(*record);
    });
    RETURN_IF_ERROR(options_.plugins->RunPod(*record));
  }
  operation.Stage("ready");
  record->status.state = PodState::kReady;
  RETURN_IF_FAULT("run_pod.ready");
  RETURN_IF_ERROR(UpdatePodStatus(database_, record->id, EncodePodStatus(record->status)));
  RETURN_IF_ERROR(WriteRecord(*record, name));
  state_.PutPod(record);
  undo.Commit();
  admission.reset();
  const absl::Status watching = watcher_->Add(record->id, std::move(started.watch));
  if (!watching.ok())
    log_.Error("pod not watched", {{"pod", record->id}, {"error", watching.message()}});
  RETURN_IF_FAULT("run_pod.answer");
  return record->id;
}

absl::Status Node::WriteRecord(const PodRecord& pod, const std::string& name) const {
  std::optional<AttachmentRow> attachment;
  if (pod.config.namespaces.network == NamespaceMode::kPod) {
    ASSIGN_OR_RETURN(attachment, FindAttachment(database_, pod.id));
  }
  return WriteRecordFile(
      PodDataDir(pod.id),
      {.row = {.id = pod.id,
               .name = name,
               .created_at = pod.created_at,
               .config = pod.request_bytes,
               .status = EncodePodStatus(pod.status)},
       .addresses = attachment.has_value() ? std::vector<std::string>() : pod.status.ips,
       .attachment = attachment});
}

void Node::AbandonPod(const std::shared_ptr<PodRecord>& pod) {
  const absl::Status discarded = DiscardPod(*pod);
  if (discarded.ok()) return;
  log_.Warning("pod that could not be made is not undone yet",
               {{"pod", pod->id}, {"error", discarded.message()}});
  pod->status.state = PodState::kCreating;
  state_.PutPod(pod);
}

absl::StatusOr<std::vector<std::string>> Node::AttachNetwork(const PodRecord& pod,
                                                             const MonitorHello& monitor) {
  return network_.Attach({.pod_id = pod.id,
                          .name = pod.config.name,
                          .pod_namespace = pod.config.pod_namespace,
                          .uid = pod.config.uid,
                          .cgroup_parent = pod.config.cgroup_parent,
                          .ports = pod.config.ports,
                          .dns = pod.config.dns.value_or(PodDns()),
                          .annotations = pod.config.annotations,
                          .netns_fd = monitor.network_namespace.get(),
                          .netlink_fd = monitor.netlink.get()});
}

absl::StatusOr<std::string> Node::PodCgroup(const PodRecord& pod) const {
  const std::string parent =
      pod.config.cgroup_parent.empty() ? options_.cgroup_root : pod.config.cgroup_parent;
  if (!options_.systemd_cgroups) return absl::StrCat(absl::StripSuffix(parent, "/"), "/", pod.id);
  ASSIGN_OR_RETURN(const std::string slice, SliceOfCgroupParent(parent));
  return ScopeCgroupPath(slice, ScopeUnit(pod.id));
}

// The scope ends when it gets empty: a parked process keeps it until the monitor is in it.
absl::StatusOr<ParkedProcess> Node::MakeScope(const PodRecord& pod) const {
  ASSIGN_OR_RETURN(ParkedProcess parked, ParkedProcess::Start(monitor_executable_.get()));
  const std::string parent =
      pod.config.cgroup_parent.empty() ? options_.cgroup_root : pod.config.cgroup_parent;
  ASSIGN_OR_RETURN(const std::string slice, SliceOfCgroupParent(parent));
  ASSIGN_OR_RETURN(const SystemdScopes scopes, SystemdScopes::Connect());
  RETURN_IF_ERROR(scopes.Create(
      {.unit = ScopeUnit(pod.id),
       .slice = slice,
       .description = absl::StrCat("pod ", pod.config.pod_namespace, "/", pod.config.name),
       .parked_pid = parked.pid()},
      SteadyNow() + kScopeTimeout));
  return parked;
}

void Node::StopScope(const PodRecord& pod) const {
  const absl::StatusOr<SystemdScopes> scopes = SystemdScopes::Connect();
  const absl::Status stopped =
      scopes.ok() ? scopes->Stop(ScopeUnit(pod.id), SteadyNow() + kScopeTimeout) : scopes.status();
  if (!stopped.ok())
    log_.Warning("scope not stopped", {{"pod", pod.id}, {"error", stopped.message()}});
}

absl::StatusOr<Node::StartedMonitor> Node::StartMonitor(PodRecord* pod, int network) {
  const PodSpec& namespaces = pod->config.namespaces;
  std::vector<OpenedVolume> volumes;
  std::vector<int> fds;
  if (namespaces.ipc == NamespaceMode::kNode) {
    ASSIGN_OR_RETURN(
        volumes, OpenVolumes(monitor_executable_.get(), {{.path = "/dev/shm"}}, kVolumeTimeout));
    fds.push_back(volumes[0].tree.get());
  }
  if (network >= 0) fds.push_back(network);
  RETURN_IF_FAULT("run_pod.cgroup");
  ASSIGN_OR_RETURN(const CgroupHandle cgroup, cgroups_.CreateForMonitor(pod->status.cgroup));
  RETURN_IF_FAULT("run_pod.spawn");
  const bool prepared = BeginsWithCommonPlan(namespaces);
  ASSIGN_OR_RETURN(ReadyMonitor monitor, TakeMonitor(cgroup, prepared));
  LaunchPlan plan = BuildPodPlan(namespaces, /*host_shm_fd=*/0,
                                 network < 0 ? -1 : static_cast<int>(fds.size()) - 1);
  if (prepared)
    plan.steps.erase(plan.steps.begin(), plan.steps.begin() + common_pod_plan_.steps.size());
  auto runtime = std::make_unique<PodRuntime>();
  RETURN_IF_FAULT("run_pod.state");
  ASSIGN_OR_RETURN(
      PodMonitor started,
      MonitorClient(PodStateDir(pod->id), runtime->idle)
          .SetUp(std::move(monitor), {.pod_id = pod->id,
                                      .cgroup = &cgroup,
                                      .plan = &plan,
                                      .plan_fds = fds,
                                      .own_pid_namespace = namespaces.pid == NamespaceMode::kPod}));
  pod->status.monitor_pid = started.process.pid;
  runtime->monitor = SetAside(std::move(started.process.pidfd));
  {
    absl::MutexLock lock(&mu_);
    runtimes_[pod->id] = std::move(runtime);
  }
  return StartedMonitor{.plan = std::move(plan),
                        .greeting = std::move(started.greeting),
                        .watch = std::move(started.watch)};
}

absl::StatusOr<ReadyMonitor> Node::TakeMonitor(const CgroupHandle& cgroup, bool prepared) {
  if (cgroup.unified || !prepared)
    return MakeMonitor(cgroup.unified ? cgroup.directory.get() : -1, prepared);
  ready_monitors_->Start();
  while (std::optional<ReadyMonitor> ready = ready_monitors_->Take()) {
    if (!ready->HasEnded()) return *std::move(ready);
  }
  return MakeMonitor(/*cgroup_dir=*/-1, prepared);
}

absl::StatusOr<ReadyMonitor> Node::MakeMonitor(int cgroup_dir, bool prepared) const {
  return ReadyMonitor::Start({.state_dir = absl::StrCat(ReadyMonitorsDir(), "/", NewId()),
                              .executable = monitor_executable_.get(),
                              .mount_namespace = mount_namespace_.get(),
                              .descriptor_limit = options_.descriptor_limit,
                              .cgroup_dir = cgroup_dir,
                              .plan = prepared ? &common_pod_plan_ : nullptr});
}

}  // namespace berth
