#include "src/runtime/container_plan.h"

#include <linux/sched.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace berth {
namespace {

using wire::Op;

// MOUNT_ATTR_* (mount_setattr(2))
constexpr int64_t kRdonly = 1, kNosuid = 2, kNodev = 4, kNoexec = 8;

struct StandardMount {
  const char* type;
  const char* target;
  const char* options;
  int64_t attributes;
};

constexpr StandardMount kStandardMounts[] = {
    {"proc", "/proc", "", kNosuid | kNodev | kNoexec},
    {"tmpfs", "/dev", "mode=755,size=65536k", kNosuid},
    {"devpts", "/dev/pts", "newinstance,ptmxmode=0666,mode=0620,gid=5", kNosuid | kNoexec},
    {"mqueue", "/dev/mqueue", "", kNosuid | kNodev | kNoexec},
    {"sysfs", "/sys", "", kRdonly | kNosuid | kNodev | kNoexec},
};

struct DeviceNode {
  const char* path;
  int major, minor;
};

constexpr DeviceNode kDeviceNodes[] = {
    {"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
    {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
};

struct Link {
  const char* path;
  const char* target;
};

constexpr Link kDeviceLinks[] = {
    {"/dev/ptmx", "pts/ptmx"},          {"/dev/fd", "/proc/self/fd"},
    {"/dev/stdin", "/proc/self/fd/0"},  {"/dev/stdout", "/proc/self/fd/1"},
    {"/dev/stderr", "/proc/self/fd/2"}, {"/dev/core", "/proc/kcore"},
};

constexpr std::array kPodFiles = {"hosts", "hostname", "resolv.conf"};

class Steps {
 public:
  explicit Steps(LaunchPlan* plan) : plan_(plan) {}
  void Add(Op op, std::vector<std::string> strings = {}, int64_t a = 0, int64_t b = 0,
           int64_t c = 0) {
    plan_->steps.push_back({.op = op, .strings = std::move(strings), .a = a, .b = b, .c = c});
  }

 private:
  LaunchPlan* plan_;
};

void AddJoinCgroups(Steps& steps, int tasks) {
  for (int i = 0; i < tasks; ++i) steps.Add(Op::kJoinCgroup, {}, i);
}

void AddOverlay(Steps& steps, const ContainerSpec& spec, const NodeFacts& node) {
  std::vector<std::string> top_first(spec.layers.rbegin(), spec.layers.rend());
  int64_t flags = wire::kOverlayVolatile;
  if (node.overlay_by_fsopen) flags |= wire::kOverlayByFsopen;
  steps.Add(Op::kMountOverlay, {absl::StrJoin(top_first, ":"), spec.upper, spec.work}, flags);
}

bool IsMountedByRequest(const ContainerSpec& spec, absl::string_view target) {
  return std::any_of(spec.volumes.begin(), spec.volumes.end(),
                     [&](const VolumeMount& volume) { return volume.target == target; });
}

void AddCgroupMounts(Steps& steps, const NodeFacts& node) {
  const int64_t attributes = kRdonly | kNosuid | kNodev | kNoexec;
  if (node.cgroup_v2) {
    steps.Add(Op::kMount, {"cgroup2", "/sys/fs/cgroup", "nsdelegate"}, attributes, wire::kDirectory,
              1);
    return;
  }
  steps.Add(Op::kMount, {"tmpfs", "/sys/fs/cgroup", "mode=755,size=64k"},
            kNosuid | kNodev | kNoexec);
  for (const std::string& options : node.v1_hierarchies) {
    const bool named = absl::StartsWith(options, "name=");
    const std::string directory =
        absl::StrCat("/sys/fs/cgroup/", named ? options.substr(5) : options);
    steps.Add(Op::kMakeDir, {directory}, 0755);
    steps.Add(Op::kMount, {"cgroup", directory, named ? absl::StrCat("none,", options) : options},
              attributes, wire::kDirectory, 1);
    if (named || !absl::StrContains(options, ',')) continue;
    for (absl::string_view rest = options; !rest.empty();) {
      const size_t comma = rest.find(',');
      steps.Add(Op::kSymlink, {absl::StrCat("/sys/fs/cgroup/", rest.substr(0, comma)), options});
      rest = comma == absl::string_view::npos ? absl::string_view() : rest.substr(comma + 1);
    }
  }
  if (node.unified) {
    steps.Add(Op::kMakeDir, {"/sys/fs/cgroup/unified"}, 0755);
    steps.Add(Op::kMount, {"cgroup2", "/sys/fs/cgroup/unified", ""}, attributes, wire::kDirectory,
              1);
  }
  steps.Add(Op::kSetMountAttr, {"/sys/fs/cgroup"}, kRdonly);
}

void AddStandardMounts(Steps& steps, const ContainerSpec& spec, const NodeFacts& node) {
  for (const StandardMount& mount : kStandardMounts) {
    steps.Add(Op::kMount, {mount.type, mount.target, mount.options}, mount.attributes);
  }
  if (!IsMountedByRequest(spec, "/dev/shm"))
    steps.Add(Op::kBind, {"/dev/shm", "/shm"}, -1, wire::kDirectory);
  AddCgroupMounts(steps, node);
  for (const DeviceNode& device : kDeviceNodes) {
    steps.Add(Op::kMakeNode, {device.path}, S_IFCHR | 0666,
              static_cast<int64_t>(makedev(device.major, device.minor)));
  }
  for (const Link& link : kDeviceLinks) steps.Add(Op::kSymlink, {link.path, link.target});
}

void AddBinds(Steps& steps, const ContainerSpec& spec, const PlanFds& fds) {
  for (const char* file : kPodFiles) {
    const std::string target = absl::StrCat("/etc/", file);
    if (IsMountedByRequest(spec, target)) continue;
    steps.Add(Op::kBind, {target, absl::StrCat("/data/", spec.pod_dir, "/", file)}, -1, wire::kFile,
              spec.readonly_rootfs ? kRdonly : 0);
  }
  // A mount must come before those inside of it.
  std::vector<VolumeMount> volumes = spec.volumes;
  std::stable_sort(volumes.begin(), volumes.end(), [](const VolumeMount& a, const VolumeMount& b) {
    return std::count(a.target.begin(), a.target.end(), '/') <
           std::count(b.target.begin(), b.target.end(), '/');
  });
  for (const VolumeMount& volume : volumes) {
    steps.Add(Op::kBind, {volume.target}, fds.cgroup_tasks + volume.fd_index,
              volume.is_directory ? wire::kDirectory : wire::kFile, volume.readonly ? kRdonly : 0);
  }
}

std::string PackGroups(const std::vector<gid_t>& groups) {
  std::string packed(groups.size() * sizeof(gid_t), '\0');
  if (!groups.empty()) std::memcpy(packed.data(), groups.data(), packed.size());
  return packed;
}

// From root inside the container to the process as it was asked for. Loading a filter needs
// no_new_privs or CAP_SYS_ADMIN (seccomp(2)): without the first it is loaded while root's
// capabilities are still there.
void AddIdentity(Steps& steps, const ProcessIdentity& identity) {
  steps.Add(Op::kDropBounding, {}, static_cast<int64_t>(identity.capabilities));
  if (!identity.seccomp.empty() && !identity.no_new_privs)
    steps.Add(Op::kSeccomp, {identity.seccomp});
  steps.Add(Op::kSetIdentity, {PackGroups(identity.groups)}, identity.uid, identity.gid);
  // As execve(2) will have it: a user other than root keeps no permitted capability.
  steps.Add(Op::kSetCapabilities, {}, static_cast<int64_t>(identity.capabilities));
  if (!identity.no_new_privs) return;
  steps.Add(Op::kNoNewPrivs);
  if (!identity.seccomp.empty()) steps.Add(Op::kSeccomp, {identity.seccomp});
}

void AddOomScore(Steps& steps, const ProcessIdentity& identity) {
  if (identity.oom_score_adj.has_value()) {
    steps.Add(Op::kWriteProc, {"self/oom_score_adj", absl::StrCat(*identity.oom_score_adj)},
              wire::kTolerateDenied);
  }
}

struct Sysctl {
  const char* name;
  const char* value;
};

// Of a pod's own network namespace. Another pod's router advertisements must not turn its routes,
// its addresses are known to be unique, and what needs a capability elsewhere (low ports, ping)
// harms nobody in it.
constexpr Sysctl kNetworkSysctls[] = {
    {"net.ipv6.conf.default.accept_ra", "0"},
    {"net.ipv6.conf.default.accept_dad", "0"},
    {"net.ipv4.ip_unprivileged_port_start", "0"},
    {"net.ipv4.ping_group_range", "0 2147483647"},
};

void AddSysctls(Steps& steps, const PodSpec& spec) {
  const auto add = [&](const std::string& name, const std::string& value, int64_t tolerance) {
    steps.Add(Op::kWriteProc,
              {absl::StrCat("sys/", absl::StrReplaceAll(name, {{".", "/"}})), value}, tolerance);
  };
  if (spec.network == NamespaceMode::kPod) {
    for (const Sysctl& sysctl : kNetworkSysctls) {
      if (spec.sysctls.count(sysctl.name) == 0)
        add(sysctl.name, sysctl.value, wire::kTolerateAbsent);
    }
  }
  for (const auto& [name, value] : spec.sysctls) add(name, value, 0);
}

void AddExec(Steps& steps, const std::vector<std::string>& args,
             const std::vector<std::string>& env) {
  std::vector<std::string> strings = args;
  strings.insert(strings.end(), env.begin(), env.end());
  steps.Add(Op::kExec, std::move(strings), static_cast<int64_t>(args.size()),
            static_cast<int64_t>(env.size()));
}

}  // namespace

LaunchPlan BuildContainerPlan(const ContainerSpec& spec, const NodeFacts& node,
                              const PlanFds& fds) {
  LaunchPlan plan;
  Steps steps(&plan);
  steps.Add(Op::kPrivateMounts);
  AddJoinCgroups(steps, fds.cgroup_tasks);
  steps.Add(Op::kUnshare, {}, CLONE_NEWCGROUP);
  steps.Add(Op::kNewSession);
  if (!spec.terminal) steps.Add(Op::kStdio, {}, wire::kNull, wire::kLogStdout, wire::kLogStderr);
  AddOverlay(steps, spec, node);
  AddStandardMounts(steps, spec, node);
  AddBinds(steps, spec, fds);
  for (const std::string& path : spec.masked_paths) steps.Add(Op::kMaskPath, {path});
  for (const std::string& path : spec.readonly_paths) steps.Add(Op::kReadonlyPath, {path});
  if (spec.terminal) {
    steps.Add(Op::kTerminal);
    steps.Add(Op::kLinkConsole);
  }
  AddOomScore(steps, spec.identity);
  steps.Add(Op::kPivotRoot);
  steps.Add(Op::kChdir, {spec.cwd});  // makes it, so before the root becomes read-only
  if (spec.readonly_rootfs) steps.Add(Op::kSetMountAttr, {"/"}, kRdonly);
  AddIdentity(steps, spec.identity);
  AddExec(steps, spec.args, spec.env);
  return plan;
}

LaunchPlan BuildExecPlan(const ExecSpec& spec, int cgroup_tasks) {
  LaunchPlan plan;
  Steps steps(&plan);
  AddJoinCgroups(steps, cgroup_tasks);
  steps.Add(Op::kJoinContainer);
  steps.Add(Op::kNewSession);
  steps.Add(Op::kStdio, {}, wire::kNull, cgroup_tasks, cgroup_tasks + 1);
  AddOomScore(steps, spec.identity);
  steps.Add(Op::kChdir, {spec.cwd});
  AddIdentity(steps, spec.identity);
  AddExec(steps, spec.args, spec.env);
  return plan;
}

LaunchPlan BuildPodPlan(const PodSpec& spec, int host_shm_fd) {
  LaunchPlan plan;
  Steps steps(&plan);
  int64_t flags = CLONE_NEWNS;
  if (spec.network == NamespaceMode::kPod) flags |= CLONE_NEWNET | CLONE_NEWUTS;
  if (spec.ipc == NamespaceMode::kPod) flags |= CLONE_NEWIPC;
  steps.Add(Op::kUnshare, {}, flags);
  steps.Add(Op::kPrivateMounts);
  if (spec.network == NamespaceMode::kPod && !spec.hostname.empty())
    steps.Add(Op::kSetHostname, {spec.hostname});
  AddSysctls(steps, spec);
  if (spec.ipc == NamespaceMode::kPod) {
    steps.Add(Op::kMount, {"tmpfs", "/shm", "mode=1777,size=65536k"}, kNosuid | kNodev | kNoexec);
  } else {
    steps.Add(Op::kBind, {"/shm"}, host_shm_fd, wire::kDirectory);
  }
  return plan;
}

}  // namespace berth
