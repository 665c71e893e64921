#include "src/runtime/monitor/mount_steps_child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "src/runtime/monitor/mount_target_child.h"
#include "src/runtime/monitor/paths_child.h"
#include "src/runtime/monitor/step_result.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

bool IsNullDevice(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISCHR(info.st_mode) && info.st_rdev == makedev(1, 3);
}

bool Begins(std::string_view path, std::string_view with) {
  return path.substr(0, with.size()) == with;
}

// A link in the image may lead a mount's target elsewhere in the root (/var/run), but never that of
// a kernel file system or of what is in /dev, nor onto a kernel file system.
int OpenMountTarget(const Step& step, StepContext* context, bool* by_link) {
  const std::string_view type = step.String(0), path = step.String(1);
  const auto kind = static_cast<wire::PathKind>(step.b());
  const int target = OpenOrMakeInRoot(context->root, path, kind, Links::kRefuse);
  if (target >= 0 || errno != ELOOP) return target;
  if (type != "tmpfs" || Begins(path, "/dev")) return -1;
  *by_link = true;
  LeaveOwn(context);
  const int followed = OpenOrMakeInRoot(context->root, path, kind, Links::kFollowInRoot);
  if (followed < 0 || !IsOnKernelFs(followed)) return followed;
  close(followed);
  errno = EACCES;
  return -1;
}

// The directory that holds the last component of `path`, borrowed, or -1; `name` becomes that
// component. What is made comes in groups with one parent, as in /dev.
int EnterParent(std::string_view path, StepContext* context, const char** name,
                char (&buffer)[PATH_MAX]) {
  const std::string_view directory = path.substr(0, path.rfind('/') + 1);
  *name = path.data() + directory.size();
  if (context->parent >= 0 && directory == context->parent_path) return context->parent;
  const int own = OwnDirectory(*context, directory.substr(0, directory.size() - 1));
  if (own >= 0) return own;
  LeaveParent(context);
  context->parent = OpenParentInRoot(context->root, path, name, buffer, sizeof(buffer));
  context->parent_path = directory;
  return context->parent;
}

// A clone of the null device: the node's, of which no image or process of a pod can have made
// something else; behind the pivot the container's, if it is the null device. -1 with errno.
int CloneNullDevice() {
  const int tree = sys::OpenTree(AT_FDCWD, "/dev/null",
                                 AT_SYMLINK_NOFOLLOW | sys::kOpenTreeClone | sys::kOpenTreeCloexec);
  if (tree < 0 || IsNullDevice(tree)) return tree;
  close(tree);
  errno = ENODEV;
  return -1;
}

}  // namespace

bool SetOptions(int context, std::string_view options) {
  char option[4096];
  while (!options.empty()) {
    const size_t end = options.find('\n');
    const std::string_view one = options.substr(0, end);
    options = end == std::string_view::npos ? std::string_view() : options.substr(end + 1);
    if (one.size() >= sizeof(option)) {
      errno = ENAMETOOLONG;
      return false;
    }
    memcpy(option, one.data(), one.size());
    option[one.size()] = '\0';
    char* equals = strchr(option, '=');
    if (equals != nullptr) *equals = '\0';
    const int set = equals == nullptr ? sys::FsconfigFlag(context, option)
                                      : sys::FsconfigString(context, option, equals + 1);
    if (set != 0) return false;
  }
  return true;
}

int NewMount(const char* type, std::string_view options, uint64_t attributes) {
  const int context = sys::Fsopen(type);
  if (context < 0) return -1;
  int mount = -1;
  if (SetOptions(context, options) && sys::FsconfigCreate(context) == 0)
    mount = sys::Fsmount(context, attributes);
  CloseKeepingErrno(context);
  return mount;
}

int StepPrivateMounts(const Step& step, StepContext*, const char** call) {
  const unsigned long propagation = step.a() == 1 ? MS_SLAVE : MS_PRIVATE;
  return mount(nullptr, "/", nullptr, MS_REC | propagation, nullptr) == 0
             ? 0
             : Fail(call, "make mounts private");
}

int StepMount(const Step& step, StepContext* context, const char** call) {
  const char* type = step.String(0).data();
  const int mount = NewMount(type, step.String(2), static_cast<uint64_t>(step.a()));
  if (mount < 0) {
    if (step.c() == 1 && (errno == EPERM || errno == ENODEV || errno == EINVAL || errno == EBUSY))
      return 0;
    return Fail(call, "create mount");
  }
  const std::string_view path = step.String(1);
  MountTarget target;
  bool by_link = false;
  if (!MakeInOwn(*context, path, static_cast<wire::PathKind>(step.b()), &target))
    target.directory = OpenMountTarget(step, context, &by_link);
  if (Attach(mount, target, call) != 0) {
    CloseKeepingErrno(mount);
    return -1;
  }
  LeaveCovered(path, context);
  if (strcmp(type, "proc") == 0 && context->proc < 0) {
    context->proc = mount;
  } else if (strcmp(type, "tmpfs") == 0 && !by_link) {
    KeepOwn(mount, path, context);
  } else {
    close(mount);
  }
  return 0;
}

void LeaveParent(StepContext* context) {
  CloseKeepingErrno(context->parent);
  context->parent = -1;
}

int StepMakeNode(const Step& step, StepContext* context, const char** call) {
  char buffer[PATH_MAX];
  const char* name;
  const int parent = EnterParent(step.String(0), context, &name, buffer);
  if (parent < 0) return Fail(call, "open parent");
  // The mode is given whole; the process's umask is 0 (RunSteps).
  const auto mode = static_cast<mode_t>(step.a());
  const auto device = static_cast<dev_t>(step.b());
  int made = mknodat(parent, name, mode, device);
  // Never what the image has under that name: it may be another device, or a link.
  if (made != 0 && errno == EEXIST && unlinkat(parent, name, 0) == 0)
    made = mknodat(parent, name, mode, device);
  if (made != 0) return Fail(call, "mknod");
  const auto uid = static_cast<uid_t>(step.c());
  const auto gid = static_cast<gid_t>(step.c() >> 32);
  if ((uid != 0 || gid != 0) && fchownat(parent, name, uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
    return Fail(call, "chown node");
  return 0;
}

int StepMakeDir(const Step& step, StepContext* context, const char** call) {
  char buffer[PATH_MAX];
  const char* name;
  const int parent = EnterParent(step.String(0), context, &name, buffer);
  if (parent < 0) return Fail(call, "open parent");
  if (mkdirat(parent, name, static_cast<mode_t>(step.a())) != 0 && errno != EEXIST)
    return Fail(call, "mkdir");
  return 0;
}

int StepSymlink(const Step& step, StepContext* context, const char** call) {
  char buffer[PATH_MAX];
  const char* name;
  const int parent = EnterParent(step.String(0), context, &name, buffer);
  if (parent < 0) return Fail(call, "open parent");
  if (symlinkat(step.String(1).data(), parent, name) != 0 && errno != EEXIST)
    return Fail(call, "symlink");
  return 0;
}

int StepMaskPath(const Step& step, StepContext* context, const char** call) {
  const int target = OpenInRoot(context->root, step.String(0).data(), Links::kFollowInRoot);
  if (target < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : Fail(call, "open path to mask");
  struct stat info;
  if (fstat(target, &info) != 0) return FailClosing(call, "stat path to mask", target);
  int tree;
  if (S_ISDIR(info.st_mode)) {
    if (context->mask_directory < 0) {
      const int mount = NewMount("tmpfs", "size=4k\nnr_inodes=1\nmode=0555",
                                 sys::kMountAttrRdonly | sys::kMountAttrNosuid |
                                     sys::kMountAttrNodev | sys::kMountAttrNoexec);
      if (mount < 0) return FailClosing(call, "create mask", target);
      if (sys::MoveMount(mount, target) != 0) return FailClosing(call, "mask", mount);
      context->mask_directory = mount;  // attached now: the next ones are clones of it
      close(target);
      return 0;
    }
    tree = sys::OpenTree(context->mask_directory, "",
                         AT_EMPTY_PATH | sys::kOpenTreeClone | sys::kOpenTreeCloexec);
  } else {
    tree = CloneNullDevice();
  }
  if (tree < 0) return FailClosing(call, "clone mask", target);
  return AttachClosing(tree, {.directory = target}, call);
}

int StepReadonlyPath(const Step& step, StepContext* context, const char** call) {
  const int target = OpenInRoot(context->root, step.String(0).data(), Links::kFollowInRoot);
  if (target < 0)
    return errno == ENOENT || errno == ENOTDIR ? 0 : Fail(call, "open read-only path");
  const int tree = sys::OpenTree(
      target, "", AT_EMPTY_PATH | sys::kAtRecursive | sys::kOpenTreeClone | sys::kOpenTreeCloexec);
  if (tree < 0) return FailClosing(call, "clone read-only path", target);
  if (sys::MountSetattr(tree, AT_EMPTY_PATH | sys::kAtRecursive, {.set = sys::kMountAttrRdonly}) !=
      0) {
    close(target);
    return FailClosing(call, "mount_setattr", tree);
  }
  return AttachClosing(tree, {.directory = target}, call);
}

int StepSetMountAttr(const Step& step, StepContext* context, const char** call) {
  const sys::MountAttr attributes = {.set = static_cast<uint64_t>(step.a())};
  const int own = OwnDirectory(*context, step.String(0));
  const int mount =
      own >= 0 ? own : OpenInRoot(context->root, step.String(0).data(), Links::kRefuse);
  if (mount < 0) return Fail(call, "open mount");
  const int set = sys::MountSetattr(mount, AT_EMPTY_PATH, attributes);
  if (mount != own) CloseKeepingErrno(mount);
  return set == 0 ? 0 : Fail(call, "mount_setattr");
}

int EnsureProc(StepContext* context, const char** call) {
  if (context->proc >= 0) return 0;
  context->proc =
      NewMount("proc", "", sys::kMountAttrNosuid | sys::kMountAttrNodev | sys::kMountAttrNoexec);
  return context->proc >= 0 ? 0 : Fail(call, "mount proc");
}

}  // namespace berth::monitor
