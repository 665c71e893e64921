// Binds of what is there already: volumes, files of the pod, devices.
#include <string.h>
#include <sys/vfs.h>

#include "src/runtime/monitor/mount_steps_child.h"
#include "src/runtime/monitor/mount_target_child.h"
#include "src/runtime/monitor/paths_child.h"
#include "src/runtime/monitor/step_result.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

constexpr long kProcMagic = 0x9fa0, kSysfsMagic = 0x62656572;  // linux/magic.h

wire::PathKind KindOf(const Step& step) { return static_cast<wire::PathKind>(step.b() & 1); }

int OpenTarget(const Step& step, StepContext* context) {
  const std::string_view path = step.String(0);
  const int target = OpenOrMakeInRoot(context->root, path, KindOf(step), Links::kRefuse);
  if (target >= 0 || errno != ELOOP) return target;
  LeaveOwn(context);
  return OpenOrMakeInRoot(context->root, path, KindOf(step), Links::kFollowInRoot);
}

// What came with the plan, or is in a slot, is not the step's to close.
bool IsBorrowed(const Step& step) { return (step.b() & wire::kBindTarget) == 0 && step.a() != -1; }

int OpenSource(const Step& step, StepContext* context) {
  if (step.b() & wire::kBindTarget) {
    const int target = OpenTarget(step, context);
    if (target < 0) return -1;
    const int tree =
        sys::OpenTree(target, "", sys::kOpenTreeClone | sys::kOpenTreeCloexec | AT_EMPTY_PATH);
    CloseKeepingErrno(target);
    return tree;
  }
  if (step.a() == -1) {
    const unsigned below = step.b() & wire::kBindPath ? sys::kAtRecursive : 0;
    return sys::OpenTree(AT_FDCWD, step.String(1).data(),
                         sys::kOpenTreeClone | sys::kOpenTreeCloexec | below);
  }
  return TreeOperand(*context, step.a());
}

// A clone stays in the peer group of what it was cloned from: for a shared bind that is what is
// wanted. Otherwise the mounts below it leave theirs, too.
bool SetAttributes(int tree, const Step& step) {
  const auto attributes = static_cast<uint64_t>(step.c());
  const unsigned all = AT_EMPTY_PATH | sys::kAtRecursive;
  const unsigned reach = step.b() & wire::kBindRecursiveAttributes ? all : AT_EMPTY_PATH;
  if (step.b() & wire::kBindShared)
    return attributes == 0 || sys::MountSetattr(tree, reach, {.set = attributes}) == 0;
  const uint64_t propagation = step.b() & wire::kBindSlave ? MS_SLAVE : MS_PRIVATE;
  if (reach == all)
    return sys::MountSetattr(tree, all, {.set = attributes, .propagation = propagation}) == 0;
  return sys::MountSetattr(tree, all, {.propagation = propagation}) == 0 &&
         (attributes == 0 || sys::MountSetattr(tree, reach, {.set = attributes}) == 0);
}

int BindTree(int tree, const Step& step, StepContext* context, const char** call) {
  if (!SetAttributes(tree, step)) return Fail(call, "mount_setattr");
  MountTarget target;
  if (!MakeInOwn(*context, step.String(0), KindOf(step), &target)) {
    target.directory = OpenTarget(step, context);
    if (target.directory >= 0 && (step.b() & wire::kBindOverKernelFs) == 0 &&
        IsOnKernelFs(target.directory)) {
      errno = EACCES;
      return FailClosing(call, "mount on a kernel file system", target.directory);
    }
  }
  if (Attach(tree, target, call) != 0) return -1;
  LeaveCovered(step.String(0), context);
  return 0;
}

}  // namespace

bool IsOnKernelFs(int fd) {
  struct statfs info;
  return fstatfs(fd, &info) == 0 && (info.f_type == kProcMagic || info.f_type == kSysfsMagic);
}

int KeepTree(int tree, int64_t slot, StepContext* context, const char** call) {
  if (slot < 0 || slot >= wire::kTreeSlots) {
    errno = EINVAL;
    return FailClosing(call, "tree slot", tree);
  }
  if (context->trees[slot] >= 0) close(context->trees[slot]);
  context->trees[slot] = tree;
  return 0;
}

int StepOpenTree(const Step& step, StepContext* context, const char** call) {
  const int tree = sys::OpenTree(
      AT_FDCWD, step.String(0).data(),
      sys::kOpenTreeClone | sys::kOpenTreeCloexec | (step.b() == 1 ? sys::kAtRecursive : 0));
  return tree < 0 ? Fail(call, "open tree") : KeepTree(tree, step.a(), context, call);
}

int StepIdmapTree(const Step& step, StepContext* context, const char** call) {
  const int tree = TreeOperand(*context, step.a());
  const int user_namespace = PlanFd(*context, step.b());
  if (tree < 0 || user_namespace < 0) {
    errno = EBADF;
    return Fail(call, "id-map");
  }
  return sys::IdmapTree(tree, user_namespace) == 0 ? 0 : Fail(call, "id-map");
}

int StepBind(const Step& step, StepContext* context, const char** call) {
  const int tree = OpenSource(step, context);
  if (tree < 0) return Fail(call, "open bind source");
  const int bound = BindTree(tree, step, context, call);
  if (!IsBorrowed(step)) CloseKeepingErrno(tree);
  return bound;
}

}  // namespace berth::monitor
