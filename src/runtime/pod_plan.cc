// The plan that a pod's monitor carries out on itself.
#include <linux/mount.h>
#include <linux/sched.h>

#include <algorithm>
#include <array>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/kernel/pod_network_settings.h"
#include "src/runtime/plan_steps.h"
#include "src/runtime/standard_mounts.h"

namespace berth {
namespace {

using wire::Op;

constexpr char kPingGroupRange[] = "net.ipv4.ping_group_range";

// Those of an IPC namespace (ipc_namespaces(7)).
constexpr std::array kIpcSysctls = {"kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."};

const IdMapping* MappingOfRoot(const std::vector<IdMapping>& mappings) {
  for (const IdMapping& mapping : mappings) {
    if (MapsId({mapping}, 0)) return &mapping;
  }
  return nullptr;
}

uint32_t HostRoot(const std::vector<IdMapping>& mappings) {
  const IdMapping* mapping = MappingOfRoot(mappings);
  return mapping == nullptr ? 0 : mapping->host_id - mapping->container_id;
}

// The kernel reads groups in this file as the writer's (icmp(7)), and the writer is the node's
// root: the part of the range that is mapped with root, in the node's numbers. "1 0" is nobody.
std::string HostPingGroups(const std::string& value, const IdMapping& mapping) {
  const std::vector<std::string> ends =
      absl::StrSplit(value, absl::ByAnyChar(" \t"), absl::SkipWhitespace());
  uint32_t low = 0, high = 0;
  if (ends.size() != 2 || !absl::SimpleAtoi(ends[0], &low) || !absl::SimpleAtoi(ends[1], &high))
    return value;  // the kernel refuses it
  const uint64_t first = mapping.container_id;
  const uint64_t last = first + mapping.length - 1;
  const uint64_t from = std::max<uint64_t>(low, first), to = std::min<uint64_t>(high, last);
  if (from > to) return "1 0";
  return absl::StrCat(from - first + mapping.host_id, " ", to - first + mapping.host_id);
}

void AddSysctl(Steps& steps, const PodSpec& spec, const std::string& name, std::string value,
               int64_t tolerance) {
  const IdMapping* groups = MappingOfRoot(spec.user.gids);
  if (groups != nullptr && SysctlPath(name) == SysctlPath(kPingGroupRange))
    value = HostPingGroups(value, *groups);
  const bool ipc = std::any_of(kIpcSysctls.begin(), kIpcSysctls.end(), [&](const char* prefix) {
    return absl::StartsWith(SysctlPath(name), SysctlPath(prefix));
  });
  steps.Add(Op::kWriteProc, {SysctlPath(name), value}, tolerance,
            ipc ? HostRoot(spec.user.uids) : 0);
}

// A namespace that was made for the pod has its settings.
void AddSysctls(Steps& steps, const PodSpec& spec, int network_fd) {
  if (spec.network == NamespaceMode::kPod && network_fd < 0) {
    for (const NetworkSetting& setting : kPodNetworkSettings) {
      if (spec.sysctls.count(setting.name) == 0)
        AddSysctl(steps, spec, setting.name, setting.value, wire::kTolerateAbsent);
    }
  }
  for (const auto& [name, value] : spec.sysctls) AddSysctl(steps, spec, name, value, 0);
}

// One line each of "ID-inside ID-outside length" (user_namespaces(7)).
std::string MapText(const std::vector<IdMapping>& mappings) {
  std::string text;
  for (const IdMapping& mapping : mappings)
    absl::StrAppend(&text, mapping.container_id, " ", mapping.host_id, " ", mapping.length, "\n");
  return text;
}

void AddNamespaces(Steps& steps, const PodSpec& spec, int network_fd) {
  int64_t flags = 0;
  if (spec.network == NamespaceMode::kPod)
    flags |= CLONE_NEWUTS | (network_fd < 0 ? CLONE_NEWNET : 0);
  if (!spec.user.IsNode()) {
    if (spec.ipc == NamespaceMode::kPod) flags |= CLONE_NEWIPC;
    steps.Add(Op::kCreateUserNamespace, {MapText(spec.user.uids), MapText(spec.user.gids)}, flags);
  } else if (flags != 0) {
    steps.Add(Op::kUnshare, {}, flags);
  }
  if (network_fd >= 0) steps.Add(Op::kSetNs, {}, network_fd, CLONE_NEWNET);
}

void AddPrivateMounts(Steps& steps, int64_t more_namespaces) {
  steps.Add(Op::kUnshare, {}, CLONE_NEWNS | more_namespaces);
  steps.Add(Op::kPrivateMounts);
}

// Of an IPC namespace of the pod's own.
void AddSharedMemory(Steps& steps, const UserNamespace& user) {
  std::string options = "mode=1777\nsize=65536k";
  if (!user.IsNode())
    absl::StrAppend(&options, "\nuid=", HostRoot(user.uids), "\ngid=", HostRoot(user.gids));
  steps.Add(Op::kMount, {"tmpfs", "/shm", options},
            MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

}  // namespace

LaunchPlan BuildCommonPodPlan() {
  LaunchPlan plan;
  Steps steps(&plan);
  AddPrivateMounts(steps, CLONE_NEWIPC);
  AddSharedMemory(steps, UserNamespace());
  return plan;
}

bool BeginsWithCommonPlan(const PodSpec& spec) {
  return spec.ipc == NamespaceMode::kPod && spec.user.IsNode();
}

LaunchPlan BuildPodPlan(const PodSpec& spec, int host_shm_fd, int network_fd) {
  const bool common = BeginsWithCommonPlan(spec);
  LaunchPlan plan = common ? BuildCommonPodPlan() : LaunchPlan();
  Steps steps(&plan);
  if (!common) AddPrivateMounts(steps, 0);
  AddNamespaces(steps, spec, network_fd);
  if (spec.network == NamespaceMode::kPod && !spec.hostname.empty())
    steps.Add(Op::kSetHostname, {spec.hostname});
  AddSysctls(steps, spec, network_fd);
  if (spec.ipc == NamespaceMode::kNode) {
    steps.Add(Op::kBind, {"/shm"}, host_shm_fd, wire::kDirectory);
  } else if (!common) {
    AddSharedMemory(steps, spec.user);
  }
  return plan;
}

}  // namespace berth
