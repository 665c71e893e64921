#include "src/runtime/container_plan.h"

#include <linux/mount.h>
#include <linux/sched.h>

#include "src/runtime/mount_plan.h"
#include "src/runtime/plan_steps.h"

namespace berth {
namespace {

using wire::Op;

// Namespaces that a container of an OCI bundle makes for itself; a pod's containers have the pod's.
int64_t NewNamespaces(const ContainerNamespaces& namespaces, const PlanFds& fds) {
  int64_t flags = 0;
  if (namespaces.new_network) flags |= CLONE_NEWNET;
  if (namespaces.new_ipc) flags |= CLONE_NEWIPC;
  if (namespaces.new_uts) flags |= CLONE_NEWUTS;
  if ((namespaces.private_cgroup && !fds.late_cgroups) || fds.user_namespace)
    flags |= CLONE_NEWCGROUP;
  return flags;
}

void AddNamespaces(Steps& steps, const ContainerSpec& spec, const PlanFds& fds) {
  for (const auto& [type, index] : spec.namespaces.joined)
    steps.Add(Op::kSetNs, {}, VolumeFd(fds, index), type);
  const int64_t flags = NewNamespaces(spec.namespaces, fds);
  if (flags != 0) steps.Add(Op::kUnshare, {}, flags);
  if (!spec.hostname.empty()) steps.Add(Op::kSetHostname, {spec.hostname});
  if (!spec.domainname.empty()) steps.Add(Op::kSetDomainname, {spec.domainname});
  for (const auto& [name, value] : spec.sysctls)
    steps.Add(Op::kWriteProc, {SysctlPath(name), value});
}

// A copy of the host's mount table that sees what is mounted there later, and gives nothing back.
void AddHostView(Steps& steps, const PlanFds& fds) {
  steps.Add(Op::kSetNs, {}, HostMountsFd(fds), CLONE_NEWNS);
  steps.Add(Op::kUnshare, {}, CLONE_NEWNS);
  steps.Add(Op::kPrivateMounts, {}, 1);
}

// A user namespace's root may not open what is the node's, nor map ids, nor give itself more than
// it has: that is done first, by the node's root.
//
//   node's root                                      root of the user namespace
//   own mounts, cgroup, trees, overlay, limits  ->   namespaces, mounts, devices, pivot, identity
void EnterUserNamespace(Steps& steps, const ContainerSpec& spec, const PlanFds& fds) {
  const int64_t pid = spec.namespaces.own_pid ? CLONE_NEWPID : 0;
  steps.Add(Op::kEnterUserNamespace, {}, UserNamespaceFd(fds), pid | CLONE_NEWNS);
}

void AddStdio(Steps& steps, const ContainerSpec& spec) {
  if (spec.terminal) return;
  steps.Add(Op::kStdio, {}, spec.stdin_open ? wire::kStdinPipe : wire::kNull, wire::kLogStdout,
            wire::kLogStderr);
}

// Runtime hooks are the daemon's to run; createContainer ones see the host's files in the
// container's namespaces. (OCI runtime specification 1.1, config.md, "POSIX-platform Hooks")
void AddHooksBeforePivot(Steps& steps, const ContainerSpec& spec) {
  if (!spec.hooks.prestart.empty() || !spec.hooks.create_runtime.empty()) steps.Add(Op::kAskHooks);
  AddHooks(steps, spec.hooks.create_container, spec.creating_state);
}

void AddInside(Steps& steps, const ContainerSpec& spec) {
  steps.Add(Op::kPivotRoot);
  steps.Add(Op::kChdir, {spec.cwd});  // makes it, so before the root becomes read-only
  if (spec.readonly_rootfs) steps.Add(Op::kSetMountAttr, {"/"}, MOUNT_ATTR_RDONLY);
  AddIdentity(steps, spec.identity);
  AddHooks(steps, spec.hooks.start_container, spec.created_state);
  AddExec(steps, spec.args, spec.env);
}

}  // namespace

LaunchPlan BuildContainerPlan(const ContainerSpec& spec, const NodeFacts& node,
                              const PlanFds& fds) {
  LaunchPlan plan;
  Steps steps(&plan);
  MountPlan mounts(spec, node, fds, steps);
  if (fds.user_namespace) steps.Add(Op::kUnshare, {}, CLONE_NEWNS);
  steps.Add(Op::kPrivateMounts, {}, spec.root_propagation == Propagation::kPrivate ? 0 : 1);
  AddJoinCgroups(steps, fds.cgroup_tasks);
  if (fds.user_namespace || spec.host_view) mounts.OpenTrees();
  mounts.MapVolumes();
  if (spec.host_view) AddHostView(steps, fds);
  if (fds.user_namespace) {
    mounts.AddRoot();
    AddPrivilegedIdentity(steps, spec.identity, true);
    EnterUserNamespace(steps, spec, fds);
  }
  AddNamespaces(steps, spec, fds);
  steps.Add(Op::kNewSession);
  AddStdio(steps, spec);
  if (!fds.user_namespace) mounts.AddRoot();
  mounts.AddMounts();
  mounts.AddDevices();
  mounts.AddProtections();
  if (spec.terminal) {
    steps.Add(Op::kTerminal);
    steps.Add(Op::kLinkConsole);
  }
  if (!fds.user_namespace) AddPrivilegedIdentity(steps, spec.identity, false);
  AddHooksBeforePivot(steps, spec);
  AddInside(steps, spec);
  return plan;
}

LaunchPlan BuildExecPlan(const ExecSpec& spec) {
  LaunchPlan plan;
  Steps steps(&plan);
  steps.Add(Op::kJoinContainerCgroups);
  AddPrivilegedIdentity(steps, spec.identity, spec.user_namespace);
  steps.Add(Op::kJoinContainer, {}, spec.user_namespace ? 1 : 0);
  steps.Add(Op::kNewSession);
  AddExecStreams(steps, spec.streams, 0);
  steps.Add(Op::kChdir, {spec.cwd});
  AddIdentity(steps, spec.identity);
  AddExec(steps, spec.args, spec.env);
  return plan;
}

}  // namespace berth
