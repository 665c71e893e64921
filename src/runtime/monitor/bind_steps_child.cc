// Binds of what is there already: volumes, files of the pod, devices.
#include <string.h>
#include <sys/vfs.h>

#include "src/runtime/monitor/mount_steps_child.h"
#include "src/runtime/monitor/paths_child.h"
#include "src/runtime/monitor/step_result.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

constexpr long kProcMagic = 0x9fa0, kSysfsMagic = 0x62656572;  // linux/magic.h

int OpenTarget(const Step& step, const StepContext& context) {
  return OpenOrMakeInRoot(context.root, step.String(0), static_cast<wire::PathKind>(step.b() & 1),
                          Links::kFollowInRoot);
}

int OpenSource(const Step& step, const StepContext& context) {
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
  const int tree = TreeOperand(context, step.a());
  return tree < 0 ? -1 : fcntl(tree, F_DUPFD_CLOEXEC, 3);
}

// A clone stays in the peer group of what it was cloned from: for a shared bind that is what is
// wanted, and nothing is to be done.
int SetPropagation(int tree, int64_t flags) {
  if (flags & wire::kBindShared) return 0;
  const uint64_t propagation = flags & wire::kBindSlave ? MS_SLAVE : MS_PRIVATE;
  return sys::MountSetattr(tree, AT_EMPTY_PATH | sys::kAtRecursive, {.propagation = propagation});
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
  const int tree = OpenSource(step, *context);
  if (tree < 0) return Fail(call, "open bind source");
  const unsigned below = step.b() & wire::kBindRecursiveAttributes ? sys::kAtRecursive : 0;
  if (SetPropagation(tree, step.b()) != 0) return FailClosing(call, "set propagation", tree);
  if (step.c() != 0 && sys::MountSetattr(tree, AT_EMPTY_PATH | below,
                                         {.set = static_cast<uint64_t>(step.c())}) != 0) {
    return FailClosing(call, "mount_setattr", tree);
  }
  const int target = OpenTarget(step, *context);
  if (target >= 0 && (step.b() & wire::kBindOverKernelFs) == 0 && IsOnKernelFs(target)) {
    close(target);
    errno = EACCES;
    return FailClosing(call, "mount on a kernel file system", tree);
  }
  return Attach(tree, target, call);
}

}  // namespace berth::monitor
