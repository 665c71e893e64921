// The container's root: overlay or directory, image volumes, pivot_root.
#include <limits.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>

#include "src/runtime/monitor/mount_steps_child.h"
#include "src/runtime/monitor/mount_target_child.h"
#include "src/runtime/monitor/paths_child.h"
#include "src/runtime/monitor/step_result.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

// Where a plan does not say otherwise: the node's minimal mount namespace.
constexpr char kRootfsDir[] = "/rootfs";
constexpr char kDataDir[] = "/data";

const char* Or(std::string_view path, const char* fallback) {
  return path.empty() ? fallback : path.data();
}

int OpenPath(const char* path) { return openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC); }

// Covers the data directory with an id-mapped clone of itself, in this mount namespace only: the
// layers below it have the container's owners then.
int IdmapData(const char* data, int user_namespace, StepContext* context, const char** call) {
  const int tree = sys::OpenTree(AT_FDCWD, data, sys::kOpenTreeClone | sys::kOpenTreeCloexec);
  if (tree < 0) return Fail(call, "clone data directory");
  if (user_namespace < 0 || sys::IdmapTree(tree, user_namespace) != 0)
    return FailClosing(call, "id-map data directory", tree);
  context->data_idmapped = true;
  return AttachClosing(tree, {.directory = OpenPath(data)}, call);
}

// The data directory as the present directory, id-mapped if the plan's operand says so.
int EnterData(std::string_view path, int64_t user_namespace, StepContext* context,
              const char** call) {
  const char* data = Or(path, kDataDir);
  if (user_namespace >= 0 && !context->data_idmapped &&
      IdmapData(data, PlanFd(*context, user_namespace), context, call) != 0) {
    return -1;
  }
  return chdir(data) == 0 ? 0 : Fail(call, "chdir data");
}

// A detached overlay of the ':'-joined directories `lower`, relative to the present one. With
// `step` also its upper, work, flags and label.
int OverlayByFsopen(std::string_view lower, const Step* step, const char** call) {
  const int context = sys::Fsopen("overlay");
  if (context < 0) return Fail(call, "fsopen overlay");
  char layer[256];
  while (!lower.empty()) {
    const size_t colon = lower.find(':');
    const std::string_view one = lower.substr(0, colon);
    lower = colon == std::string_view::npos ? std::string_view() : lower.substr(colon + 1);
    if (one.size() >= sizeof(layer)) {
      errno = ENAMETOOLONG;
      return FailClosing(call, "overlay lowerdir", context);
    }
    memcpy(layer, one.data(), one.size());
    layer[one.size()] = '\0';
    if (sys::FsconfigString(context, "lowerdir+", layer) != 0)
      return FailClosing(call, "overlay lowerdir", context);
  }
  if (step != nullptr && (step->a() & wire::kOverlayReadonly) == 0) {
    if (sys::FsconfigString(context, "upperdir", step->String(1).data()) != 0) {
      return FailClosing(call, "overlay upperdir", context);
    }
    if (sys::FsconfigString(context, "workdir", step->String(2).data()) != 0) {
      return FailClosing(call, "overlay workdir", context);
    }
    if ((step->a() & wire::kOverlayVolatile) && sys::FsconfigFlag(context, "volatile") != 0) {
      return FailClosing(call, "overlay volatile", context);
    }
  }
  if (step != nullptr && !step->String(5).empty() &&
      sys::FsconfigString(context, "context", step->String(5).data()) != 0) {
    return FailClosing(call, "overlay context", context);
  }
  if (sys::FsconfigCreate(context) != 0) return FailClosing(call, "create overlay", context);
  const int mount = sys::Fsmount(context, 0);
  if (mount < 0) return FailClosing(call, "mount overlay", context);
  close(context);
  return mount;
}

// Kernels before 6.8: one option string of at most a page, names relative to the present directory
// (see ADR 0002). Attached at `where`. A single lower directory without an upper is refused by the
// kernel, so it is named twice.
int OverlayByMount(std::string_view lower, const Step* step, const char* where, const char** call) {
  char options[4096];
  const bool writable = step != nullptr && (step->a() & wire::kOverlayReadonly) == 0;
  const bool twice = !writable && lower.find(':') == std::string_view::npos;
  const std::string_view label = step == nullptr ? "" : step->String(5);
  size_t used = 0;
  const std::string_view parts[] = {
      "lowerdir=",
      lower,
      twice ? ":" : "",
      twice ? lower : "",
      writable ? ",upperdir=" : "",
      writable ? step->String(1) : "",
      writable ? ",workdir=" : "",
      writable ? step->String(2) : "",
      writable && (step->a() & wire::kOverlayVolatile) ? ",volatile" : "",
      label.empty() ? "" : ",context=\"",
      label,
      label.empty() ? "" : "\""};
  for (const std::string_view part : parts) {
    if (used + part.size() >= sizeof(options)) {
      errno = E2BIG;
      return Fail(call, "overlay options");
    }
    memcpy(options + used, part.data(), part.size());
    used += part.size();
  }
  options[used] = '\0';
  if (mount("overlay", where, "overlay", 0, options) != 0) return Fail(call, "mount overlay");
  const int root = OpenPath(where);
  return root < 0 ? Fail(call, "open overlay") : root;
}

bool SetFileOwner(uid_t uid, gid_t gid) {
  syscall(SYS_setfsgid, gid);
  syscall(SYS_setfsuid, uid);
  // Neither says whether it succeeded, but both give back what was there (setfsuid(2)).
  if (syscall(SYS_setfsuid, -1) != static_cast<long>(uid)) {
    errno = EPERM;
    return false;
  }
  // Another id than 0 has cost the capabilities that concern files.
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct sets[2];
  if (syscall(SYS_capget, &header, sets) != 0) return false;
  for (__user_cap_data_struct& half : sets) half.effective = half.permitted;
  return syscall(SYS_capset, &header, sets) == 0;
}

// The one who makes an overlay is the one who makes files in its work directory ever after. Where
// the layers are id-mapped the node's root has no id in them, and the kernel would silently give a
// read-only overlay: it is made as the owner of the work directory.
int MakeOverlay(const Step& step, const char* where, const char** call) {
  struct stat work = {};
  const bool writable = (step.a() & wire::kOverlayReadonly) == 0;
  if (writable && stat(step.String(2).data(), &work) != 0)
    return Fail(call, "find overlay workdir");
  const bool other = work.st_uid != 0 || work.st_gid != 0;
  if (other && !SetFileOwner(work.st_uid, work.st_gid)) return Fail(call, "become owner of layers");
  const int made = step.a() & wire::kOverlayByFsopen
                       ? OverlayByFsopen(step.String(0), &step, call)
                       : OverlayByMount(step.String(0), &step, where, call);
  const int error = errno;
  if (other && !SetFileOwner(0, 0)) _exit(127);  // it was, and nobody else may go on
  errno = error;
  return made;
}

bool HasManyLayers(std::string_view lower) { return lower.find(':') != std::string_view::npos; }

// A clone of `path` inside of `base` (both in this mount namespace), or -1.
int CloneInside(int base, std::string_view path, const char** call) {
  const int inside =
      path.empty() ? fcntl(base, F_DUPFD_CLOEXEC, 3)
                   : sys::Openat2(base, path.data(), O_PATH | O_CLOEXEC,
                                  RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  if (inside < 0) return Fail(call, "open path in image");
  const int tree =
      sys::OpenTree(inside, "", AT_EMPTY_PATH | sys::kOpenTreeClone | sys::kOpenTreeCloexec);
  CloseKeepingErrno(inside);
  return tree < 0 ? Fail(call, "clone path in image") : tree;
}

// The image's tree, detached. Several layers need an overlay, and only what is attached can be
// cloned (before kernel 6.15): it is put over the data directory for that moment.
int OpenImage(const Step& step, StepContext* context, const char** call) {
  if (EnterData(step.String(3), step.b(), context, call) != 0) return -1;
  const std::string_view lower = step.String(0);
  if (!HasManyLayers(lower)) {
    const int base = OpenPath(lower.data());
    if (base < 0) return Fail(call, "open image layer");
    const int tree = CloneInside(base, step.String(2), call);
    CloseKeepingErrno(base);
    return tree;
  }
  int base = OverlayByFsopen(lower, nullptr, call);
  if (base < 0 && errno == EINVAL) {  // no lowerdir+: kernel < 6.8
    base = OverlayByMount(lower, nullptr, Or(step.String(3), kDataDir), call);
  } else if (base >= 0) {
    const int data = OpenPath(Or(step.String(3), kDataDir));
    if (data < 0 || sys::MoveMount(base, data) != 0) return FailClosing(call, "attach image", base);
    close(data);
  }
  if (base < 0) return -1;
  const int tree = CloneInside(base, step.String(2), call);
  const int error = errno;
  if (fchdir(base) != 0 || umount2(".", MNT_DETACH) != 0)
    return FailClosing(call, "detach image", base);
  close(base);
  errno = error;
  return tree;
}

}  // namespace

int StepMountOverlay(const Step& step, StepContext* context, const char** call) {
  if (EnterData(step.String(3), step.b(), context, call) != 0) return -1;
  const char* where = Or(step.String(4), kRootfsDir);
  context->root = MakeOverlay(step, where, call);
  if (context->root < 0) return -1;
  if ((step.a() & wire::kOverlayByFsopen) == 0) return 0;
  const int target = OpenPath(where);
  if (target < 0 || sys::MoveMount(context->root, target) != 0) return Fail(call, "attach overlay");
  close(target);
  return 0;
}

int StepBindRoot(const Step& step, StepContext* context, const char** call) {
  const std::string_view path = step.String(0);
  const int tree =
      path.empty() ? fcntl(PlanFd(*context, step.a()), F_DUPFD_CLOEXEC, 3)
                   : sys::OpenTree(AT_FDCWD, path.data(),
                                   sys::kOpenTreeClone | sys::kOpenTreeCloexec | sys::kAtRecursive);
  if (tree < 0) return Fail(call, "open root directory");
  context->root_shared = (step.b() & wire::kBindShared) != 0;
  const uint64_t propagation = step.b() & wire::kBindSlave ? MS_SLAVE : MS_PRIVATE;
  if (sys::MountSetattr(tree, AT_EMPTY_PATH | sys::kAtRecursive, {.propagation = propagation}) != 0)
    return FailClosing(call, "set propagation of root", tree);
  const int target = OpenPath(Or(path, kRootfsDir));
  if (target < 0 || sys::MoveMount(tree, target) != 0) return Fail(call, "attach root");
  close(target);
  context->root = tree;
  return 0;
}

int ReopenRoot(StepContext* context, const char** call) {
  if (context->root < 0) return 0;
  const int tree =
      sys::OpenTree(AT_FDCWD, ".", sys::kOpenTreeClone | sys::kOpenTreeCloexec | sys::kAtRecursive);
  if (tree < 0) return Fail(call, "clone root");
  const int target = OpenPath(".");
  if (target < 0 || sys::MoveMount(tree, target) != 0) return Fail(call, "attach clone of root");
  close(target);
  close(context->root);
  context->root = tree;
  return 0;
}

int StepMountImage(const Step& step, StepContext* context, const char** call) {
  const int tree = OpenImage(step, context, call);
  if (tree < 0) return -1;
  const uint64_t attributes = static_cast<uint64_t>(step.a()) | sys::kMountAttrRdonly;
  struct stat info;
  if (fstat(tree, &info) != 0 || sys::MountSetattr(tree, AT_EMPTY_PATH, {.set = attributes}) != 0) {
    return FailClosing(call, "mount_setattr", tree);
  }
  if (step.c() > 0) return KeepTree(tree, step.c() - 1, context, call);
  const int target = OpenOrMakeInRoot(context->root, step.String(1),
                                      S_ISDIR(info.st_mode) ? wire::kDirectory : wire::kFile,
                                      Links::kFollowInRoot);
  if (target >= 0 && IsOnKernelFs(target)) {
    close(target);
    errno = EACCES;
    return FailClosing(call, "mount on a kernel file system", tree);
  }
  return AttachClosing(tree, {.directory = target}, call);
}

int StepPivotRoot(const Step&, StepContext* context, const char** call) {
  if (fchdir(context->root) != 0) return Fail(call, "chdir rootfs");
  if (sys::PivotRoot(".", ".") != 0) return Fail(call, "pivot_root");
  // The old root is stacked on top of the new one now: detach it, and with it all that the host had
  // there.
  if (umount2(".", MNT_DETACH) != 0) return Fail(call, "detach old root");
  if (chdir("/") != 0) return Fail(call, "chdir /");
  if (context->root_shared && mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr) != 0)
    return Fail(call, "share root");
  close(context->root);
  context->root = -1;
  return 0;
}

}  // namespace berth::monitor
