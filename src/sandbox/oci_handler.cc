// Containers of an external OCI runtime, which a RuntimeClass names (runc(8), crun(1)): the monitor
// runs its `create` and is the parent of what it leaves; every other command is run beside it.
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "src/base/id.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/kernel/file.h"
#include "src/kernel/process.h"
#include "src/runtime/capabilities.h"
#include "src/runtime/confinement.h"
#include "src/runtime/oci_resources.h"
#include "src/runtime/oci_spec.h"
#include "src/sandbox/node.h"

namespace berth {
namespace {

using Json = nlohmann::json;

constexpr absl::Duration kCommandTimeout = absl::Seconds(60);
constexpr absl::Duration kConfinedTimeout = absl::Seconds(2);
constexpr absl::Duration kConfinedRetry = absl::Milliseconds(2);
constexpr absl::Duration kFeaturesTimeout = absl::Seconds(5);
constexpr size_t kMaxCommandOutput = 64 << 10;

// The error that a runtime last wrote to its log, a JSON object a line.
std::string LastError(const std::string& log) {
  std::string last;
  for (absl::string_view line : absl::StrSplit(log, '\n', absl::SkipEmpty())) {
    const Json entry = Json::parse(line.begin(), line.end(), nullptr, false);
    if (entry.is_object() && entry.value("level", "") == "error" && entry.contains("msg") &&
        entry["msg"].is_string())
      last = entry["msg"].get<std::string>();
  }
  return last;
}

// The last line of `text`, which a runtime ends with its complaint.
std::string LastLine(absl::string_view text) {
  const std::vector<absl::string_view> lines =
      absl::StrSplit(absl::StripAsciiWhitespace(text), '\n');
  return std::string(absl::StripAsciiWhitespace(lines.back()));
}

absl::Status Refused(const std::string& runtime, const std::string& command, int code,
                     const std::string& why) {
  return absl::UnknownError(absl::StrCat(runtime, " ", command, ": ",
                                         why.empty() ? absl::StrCat("exit code ", code) : why));
}

// A runtime refuses what this node cannot give (capset(2): EPERM).
CapabilitySets HeldOf(const CapabilitySets& caps) {
  const uint64_t held = HeldCapabilities();
  return {.bounding = caps.bounding & held,
          .permitted = caps.permitted & held,
          .effective = caps.effective & held,
          .inheritable = caps.inheritable & held,
          .ambient = caps.ambient & held};
}

// A process may not go below the value of its parent, the monitor, without CAP_SYS_RESOURCE
// (proc_pid_oom_score_adj(5)); a runtime fails on it.
std::optional<int> OomScoreFrom(int monitor, const std::optional<int>& asked) {
  if (!asked.has_value() || (HeldCapabilities() & uint64_t{1} << CAP_SYS_RESOURCE) != 0)
    return asked;
  const absl::StatusOr<std::string> text =
      ReadFileAt(AT_FDCWD, absl::StrCat("/proc/", monitor, "/oom_score_adj"));
  int least = 0;
  if (!text.ok() || !absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &least)) return asked;
  return std::max(*asked, least);
}

// Runtimes take orders from annotations (crun(1), "run.oci."; "org.systemd.property." of runc and
// crun), and those of a container are its tenant's.
std::map<std::string, std::string> HarmlessAnnotations(
    const std::map<std::string, std::string>& annotations) {
  std::map<std::string, std::string> harmless;
  for (const auto& [key, value] : annotations) {
    const bool order = absl::StartsWith(key, "run.oci.") || absl::StartsWith(key, "org.criu.") ||
                       absl::StartsWith(key, "org.systemd.property.");
    if (!order) harmless.emplace(key, value);
  }
  return harmless;
}

// A runtime that remounts a bind may drop what its source is protected by (runc 1.1, crun 1.8), so
// that config.json has to say it. The pod's shared memory is no volume that was looked at.
void KeepProtectiveFlags(const std::vector<uint64_t>& of_volumes, std::vector<MountSpec>* mounts) {
  for (MountSpec& mount : *mounts) {
    if (mount.kind != MountSpec::Kind::kBind) continue;
    if (mount.view_path == "/shm")
      mount.attributes |= MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    if (mount.fd_index >= 0) mount.attributes |= of_volumes[static_cast<size_t>(mount.fd_index)];
  }
}

// runc 1.1 makes the standard links of /dev where a /dev that is a link leads to on the node,
// before it changes the root.
absl::Status CheckDevIsNoLink(const std::string& data_dir, const std::vector<std::string>& layers) {
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    const std::string dev = absl::StrCat(data_dir, "/", *layer, "/dev");
    struct stat info;
    if (::lstat(dev.c_str(), &info) != 0) continue;
    if (S_ISDIR(info.st_mode)) return absl::OkStatus();
    return absl::FailedPreconditionError(
        "image: /dev is not a directory, which an external runtime handler needs");
  }
  return absl::OkStatus();
}

std::string NamespacePath(int pid, const char* name) {
  return absl::StrCat("/proc/", pid, "/ns/", name);
}

// As the runtime's `update --resources` takes them. Huge pages are the node's own to write: not
// every kernel that a kubelet sends limits of them to counts them.
std::string ResourcesJson(CgroupLimits limits) {
  limits.hugepages.clear();
  return OciLimits(limits).dump();
}

// What `runtime features` prints (features.md); "" from one that does not know the command.
std::string FeaturesOf(const std::string& runtime) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return "";
  const UniqueFd output(ends[0]);
  UniqueFd write_end(ends[1]);
  const absl::StatusOr<SpawnedProcess> process =
      Spawn({.path = runtime, .argv = {runtime, "features"}, .fds = {-1, write_end.get(), -1}});
  write_end.reset();
  if (!process.ok()) return "";
  const absl::Time deadline = SteadyNow() + kFeaturesTimeout;
  std::string text;
  char buffer[4096];
  pollfd readable = {.fd = output.get(), .events = POLLIN, .revents = 0};
  while (::poll(&readable, 1, static_cast<int>(absl::ToInt64Milliseconds(deadline - SteadyNow()))) >
         0) {
    const ssize_t n = ::read(output.get(), buffer, sizeof(buffer));
    if (n <= 0 || text.size() > kMaxCommandOutput) break;
    text.append(buffer, static_cast<size_t>(n));
  }
  ::syscall(SYS_pidfd_send_signal, process->pidfd.get(), SIGKILL, nullptr, 0);
  ::waitid(P_PIDFD, static_cast<id_t>(process->pidfd.get()), nullptr, WEXITED);
  return text;
}

Node::Handler DescribeHandler(const std::string& name, const std::string& path) {
  const Json features = Json::parse(FeaturesOf(path), nullptr, false);
  Node::Handler handler{.name = name};
  if (!features.is_object() || !features.contains("mountOptions")) return handler;
  for (const Json& option : features["mountOptions"]) handler.recursive_readonly |= option == "rro";
  return handler;
}

}  // namespace

// The built-in one's features are those of the kernel: id-mapped layers of an overlay came
// with 5.19 (Documentation/filesystems/overlayfs), recursive attributes are older than the oldest
// supported.
std::vector<Node::Handler> Node::Handlers() const {
  std::vector<Handler> handlers = {
      {.name = "", .recursive_readonly = true, .user_namespaces = facts_.idmapped_layers}};
  for (const auto& [name, path] : options_.handlers) {
    if (::access(path.c_str(), X_OK) != 0) {
      log_.Warning("handler left out",
                   {{"handler", name}, {"error", ErrnoStatus("execute", path).message()}});
      continue;
    }
    handlers.push_back(DescribeHandler(name, path));
  }
  return handlers;
}

OciRuntime Node::RuntimeOf(const PodRecord& pod) const {
  const std::string& handler = pod.config.runtime_handler;
  const auto found = options_.handlers.find(handler);
  return {.path = found == options_.handlers.end() ? "" : found->second,
          .root = absl::StrCat(options_.state_dir, "/handlers/", handler)};
}

absl::StatusOr<std::string> Node::OciSpecOf(const ContainerRecord& container, const PodRecord& pod,
                                            const PreparedContainer& prepared) const {
  OciContext context{.bundle = pod.config.runtime_handler.empty() ? "" : BundleDir(container.id),
                     .rootfs = BundleDir(container.id) + "/rootfs",
                     .data_dir = options_.data_dir,
                     .cgroups_path = container.cgroup,
                     .limits = LimitsOf(container),
                     .device_rules = prepared.device_rules,
                     .annotations = HarmlessAnnotations(container.config.annotations)};
  if (options_.pids_limit > 0) context.limits.pids = options_.pids_limit;
  // On a hybrid node runtimes do not look at cgroup2, where the cgroup has these limits already.
  const std::vector<std::string>& v1 = facts_.v1_hierarchies;
  if (!facts_.cgroup_v2 && std::find(v1.begin(), v1.end(), "hugetlb") == v1.end())
    context.limits.hugepages.clear();
  const int monitor = pod.status.monitor_pid;
  if (pod.config.namespaces.network == NamespaceMode::kPod) {
    context.namespaces["network"] = NamespacePath(monitor, "net");
    context.namespaces["uts"] = NamespacePath(monitor, "uts");
  }
  if (pod.config.namespaces.ipc == NamespaceMode::kPod)
    context.namespaces["ipc"] = NamespacePath(monitor, "ipc");
  switch (container.config.pid) {
    case NamespaceMode::kContainer:
      context.namespaces["pid"] = "";
      break;
    case NamespaceMode::kPod:
      context.namespaces["pid"] = NamespacePath(pod.status.pod_init_pid, "pid");
      break;
    case NamespaceMode::kTarget: {
      ASSIGN_OR_RETURN(const ContainerPtr target, state_.FindContainer(container.config.target_id));
      context.namespaces["pid"] = NamespacePath(target->status.pid, "pid");
      break;
    }
    case NamespaceMode::kNode:
      break;
  }
  if (!pod.config.namespaces.user.IsNode())
    context.namespaces["user"] = absl::StrCat("user namespace of pod ", pod.id);
  if (!container.config.privileged) {
    const uint64_t capabilities = prepared.spec.identity.caps.permitted;
    if (container.config.seccomp == SeccompMode::kRuntimeDefault) {
      ASSIGN_OR_RETURN(context.seccomp_json, OciDefaultSeccompJson(capabilities));
    } else if (container.config.seccomp == SeccompMode::kLocalhost) {
      ASSIGN_OR_RETURN(const std::string profile,
                       ReadSeccompProfile(container.config.seccomp_path));
      ASSIGN_OR_RETURN(context.seccomp_json, OciSeccompJson(profile, capabilities));
    }
  }
  return OciSpecJson(prepared.spec, context);
}

absl::StatusOr<std::string> Node::ContainerOciSpec(absl::string_view id) const {
  ASSIGN_OR_RETURN(const ContainerPtr container, state_.FindContainer(id));
  ASSIGN_OR_RETURN(const PodPtr pod, state_.FindPod(container->pod_id));
  ASSIGN_OR_RETURN(PreparedContainer prepared, PrepareContainer(*container, *pod));
  NumberVolumes(&prepared.spec);
  return OciSpecOf(*container, *pod, prepared);
}

absl::StatusOr<int> Node::LaunchWithRuntime(const ContainerRecord& container, const PodRecord& pod,
                                            PreparedContainer prepared, ContainerStart start) {
  const OciRuntime runtime = RuntimeOf(pod);
  const std::string bundle = BundleDir(container.id);
  RETURN_IF_ERROR(MakeDirs(bundle + "/rootfs", 0755));
  RETURN_IF_ERROR(MakeDirs(runtime.root, 0700));
  prepared.spec.host_view = HostView{.bundle = bundle};
  prepared.spec.identity.caps = HeldOf(prepared.spec.identity.caps);
  prepared.spec.identity.oom_score_adj =
      OomScoreFrom(pod.status.monitor_pid, prepared.spec.identity.oom_score_adj);
  KeepProtectiveFlags(prepared.volume_attributes, &prepared.spec.mounts);
  RETURN_IF_ERROR(CheckDevIsNoLink(options_.data_dir, prepared.spec.layers));
  ASSIGN_OR_RETURN(const std::string config, OciSpecOf(container, pod, prepared));
  RETURN_IF_ERROR(ReplaceFileAt(AT_FDCWD, bundle + "/config.json", config, 0600));
  ASSIGN_OR_RETURN(start.pid_dir, OpenDir(AT_FDCWD, bundle));
  start.pid_mode = wire::PidMode::kNode;  // the runtime makes or joins the container's
  start.host_mounts = host_mounts_.get();
  const LaunchPlan plan =
      BuildOciCreatePlan(prepared.spec, facts_,
                         {.cgroup_tasks = static_cast<int>(start.cgroup->tasks.size()),
                          .volumes = static_cast<int>(start.volumes.size()),
                          .host_mounts = true},
                         runtime, container.id);
  start.plan = &plan;
  const absl::StatusOr<pid_t> pid = Monitor(pod.id).Start(std::move(start));
  if (!pid.ok()) {
    const absl::StatusOr<std::string> log = ReadFileAt(AT_FDCWD, bundle + "/log.json");
    const std::string why = log.ok() ? LastError(*log) : "";
    DeleteWithRuntime(container, pod);
    return why.empty() ? pid.status()
                       : absl::UnknownError(absl::StrCat(runtime.path, " create: ", why));
  }
  const absl::StatusOr<ExecSyncResult> started =
      RunRuntimeCommand(container, pod, {"start", container.id}, {.timeout = kCommandTimeout});
  absl::Status status = started.status();
  if (started.ok() && started->exit_code != 0)
    status = Refused(runtime.path, "start", started->exit_code, LastLine(started->error_output));
  // `start` may return before the process has loaded its filter.
  const absl::Time confined_by = SteadyNow() + kConfinedTimeout;
  while (status.ok()) {
    const absl::Status confined = VerifyConfinementOfPid(*pid, ExpectedOf(prepared.spec.identity));
    if (confined.ok()) break;
    if (SteadyNow() >= confined_by) status = confined;
    absl::SleepFor(kConfinedRetry);
  }
  if (!status.ok()) {
    DeleteWithRuntime(container, pod);
    return status;
  }
  return *pid;
}

absl::StatusOr<ExecSyncResult> Node::RunRuntimeCommand(const ContainerRecord& container,
                                                       const PodRecord& pod,
                                                       const std::vector<std::string>& command,
                                                       const ExecSyncOptions& options) const {
  const LaunchPlan plan = BuildOciCommandPlan(RuntimeOf(pod), command);
  return Monitor(pod.id).ExecSync({.container_id = container.id,
                                   .plan = &plan,
                                   .timeout = options.timeout,
                                   .max_output_bytes = options.max_output_bytes == 0
                                                           ? kMaxCommandOutput
                                                           : options.max_output_bytes,
                                   .cancelled = options.cancelled,
                                   .outside_container = true,
                                   .host_mounts = host_mounts_.get()});
}

// The process as the container's config.json has it, with what the exec changes.
absl::StatusOr<ExecResult> Node::ExecWithRuntime(const ContainerRecord& container,
                                                 const PodRecord& pod, const ExecSpec& spec,
                                                 const ExecSyncOptions& options) const {
  const std::string bundle = BundleDir(container.id);
  ASSIGN_OR_RETURN(const std::string config, ReadFileAt(AT_FDCWD, bundle + "/config.json"));
  Json process = Json::parse(config, nullptr, false).value("process", Json::object());
  process["args"] = spec.args;
  process["env"] = spec.env;
  process["cwd"] = spec.cwd;
  process["terminal"] = false;
  const std::string file = absl::StrCat(bundle, "/exec-", NewId().substr(0, 16));
  RETURN_IF_ERROR(ReplaceFileAt(
      AT_FDCWD, file, process.dump(-1, ' ', false, Json::error_handler_t::replace), 0600));
  const absl::StatusOr<ExecSyncResult> result =
      RunRuntimeCommand(container, pod,
                        {"--log", file + ".log", "--log-format", "json", "exec", "--pid-file",
                         file + ".pid", "--process", file, container.id},
                        options);
  if (!result.ok()) KillExecOf(file + ".pid");
  // Not its output, which is also the program's, nor its exit code: what it has logged is its own.
  const absl::StatusOr<std::string> log = ReadFileAt(AT_FDCWD, file + ".log");
  const std::string why = log.ok() ? LastError(*log) : "";
  for (const char* suffix : {"", ".pid", ".log"}) ::unlink(absl::StrCat(file, suffix).c_str());
  if (!result.ok()) return result.status();
  if (result->exit_code != 0 && !why.empty())
    return Refused(RuntimeOf(pod).path, "exec", result->exit_code, why);
  return ExecResult{result->output, result->error_output, result->exit_code};
}

// The runtime stays beside the process that it makes, and carries its streams and its end; a signal
// that it gets it passes on (runc-exec(8)). A terminal would need another beside it, for the
// runtime's own stdio.
absl::StatusOr<MonitorSession> Node::SessionWithRuntime(const ContainerRecord& container,
                                                        const PodRecord& pod, const ExecSpec& spec,
                                                        const ExecStreams& streams) const {
  if (streams.terminal) {
    return absl::UnimplementedError(absl::StrCat("exec with a terminal: the runtime handler ",
                                                 pod.config.runtime_handler, " of container ",
                                                 container.id, " gives none"));
  }
  std::vector<std::string> command = {"exec", container.id};
  command.insert(command.end(), spec.args.begin(), spec.args.end());
  const LaunchPlan plan = BuildOciCommandPlan(RuntimeOf(pod), command, streams);
  return Monitor(pod.id).StartExecSession({.container_id = container.id,
                                           .plan = &plan,
                                           .streams = streams,
                                           .outside_container = true,
                                           .host_mounts = host_mounts_.get()});
}

// An exec whose runtime was ended at its deadline is still there: the process that it left.
void Node::KillExecOf(const std::string& pid_file) const {
  const absl::StatusOr<std::string> text = ReadFileAt(AT_FDCWD, pid_file);
  int pid = 0;
  if (!text.ok() || !absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &pid) || pid <= 1) return;
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (process.valid()) ::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
}

// The cgroup is the node's own, and its change is all or nothing. The runtime's `update` is not,
// and writes once more what stands there already: it is what a runtime with a kernel of its own
// hears.
absl::Status Node::UpdateWithRuntime(const ContainerRecord& container, const PodRecord& pod,
                                     const CgroupLimits& before, const CgroupLimits& after) const {
  RETURN_IF_ERROR(cgroups_.UpdateLimits(container.cgroup, before, after));
  const absl::Status told = TellRuntimeLimits(container, pod, LiftedLimits(before, after));
  if (told.ok()) return told;
  for (const absl::Status& restored :
       {TellRuntimeLimits(container, pod, LiftedLimits(after, before)),
        cgroups_.UpdateLimits(container.cgroup, after, before)}) {
    if (restored.ok()) continue;
    log_.Warning("limits not put back after a refused update",
                 {{"container", container.id}, {"error", restored.message()}});
  }
  return told;
}

absl::Status Node::TellRuntimeLimits(const ContainerRecord& container, const PodRecord& pod,
                                     const CgroupLimits& limits) const {
  const OciRuntime runtime = RuntimeOf(pod);
  const std::string file = BundleDir(container.id) + "/resources.json";
  RETURN_IF_ERROR(ReplaceFileAt(AT_FDCWD, file, ResourcesJson(limits), 0600));
  ASSIGN_OR_RETURN(const ExecSyncResult result,
                   RunRuntimeCommand(container, pod, {"update", "--resources", file, container.id},
                                     {.timeout = kCommandTimeout}));
  if (result.exit_code == 0) return absl::OkStatus();
  return Refused(runtime.path, "update", result.exit_code, LastLine(result.error_output));
}

// The runtime forgets the container and runs its poststop hooks. What it leaves is removed with the
// cgroup and the bundle.
void Node::DeleteWithRuntime(const ContainerRecord& container, const PodRecord& pod) const {
  const OciRuntime runtime = RuntimeOf(pod);
  const std::string known = absl::StrCat(runtime.root, "/", container.id);
  if (::access(known.c_str(), F_OK) != 0) return;
  const absl::StatusOr<ExecSyncResult> result = RunRuntimeCommand(
      container, pod, {"delete", "--force", container.id}, {.timeout = kCommandTimeout});
  if (!result.ok() || result->exit_code != 0) {
    log_.Warning("runtime did not delete a container",
                 {{"container", container.id},
                  {"error", result.ok() ? LastLine(result->error_output)
                                        : std::string(result.status().message())}});
  }
  RemoveTreeAt(AT_FDCWD, known).IgnoreError();
}

}  // namespace berth
