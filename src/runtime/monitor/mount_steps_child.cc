#include "src/runtime/monitor/mount_steps_child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>

#include "src/runtime/monitor/paths_child.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

constexpr char kRootfsDir[] =
    "/rootfs";                        // an empty directory of the node's minimal mount namespace
constexpr char kDataDir[] = "/data";  // berthd's data directory there

int Fail(const char** call, const char* what) {
  *call = what;
  return -1;
}

int FailClosing(const char** call, const char* what, int fd) {
  const int error = errno;
  close(fd);
  errno = error;
  return Fail(call, what);
}

// Sets the ','-joined options "key=value" or "flag" on a file system context.
int SetOptions(int context, std::string_view options) {
  char option[512];
  while (!options.empty()) {
    const size_t comma = options.find(',');
    const std::string_view one = options.substr(0, comma);
    options = comma == std::string_view::npos ? std::string_view() : options.substr(comma + 1);
    if (one.size() >= sizeof(option)) {
      errno = ENAMETOOLONG;
      return -1;
    }
    memcpy(option, one.data(), one.size());
    option[one.size()] = '\0';
    char* equals = strchr(option, '=');
    if (equals != nullptr) *equals = '\0';
    const int set = equals == nullptr ? sys::FsconfigFlag(context, option)
                                      : sys::FsconfigString(context, option, equals + 1);
    if (set != 0) return -1;
  }
  return 0;
}

// A detached mount of a new file system, or -1.
int NewMount(const char* type, std::string_view options, uint64_t attributes) {
  const int context = sys::Fsopen(type);
  if (context < 0) return -1;
  int mount = -1;
  if (SetOptions(context, options) == 0 && sys::FsconfigCreate(context) == 0) {
    mount = sys::Fsmount(context, attributes);
  }
  const int error = errno;
  close(context);
  errno = error;
  return mount;
}

int OverlayByFsopen(const Step& step, const char** call) {
  const int context = sys::Fsopen("overlay");
  if (context < 0) return Fail(call, "fsopen overlay");
  char layer[256];
  std::string_view lower = step.String(0);
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
  if ((step.a() & wire::kOverlayReadonly) == 0) {
    if (sys::FsconfigString(context, "upperdir", step.String(1).data()) != 0) {
      return FailClosing(call, "overlay upperdir", context);
    }
    if (sys::FsconfigString(context, "workdir", step.String(2).data()) != 0) {
      return FailClosing(call, "overlay workdir", context);
    }
    if ((step.a() & wire::kOverlayVolatile) && sys::FsconfigFlag(context, "volatile") != 0) {
      return FailClosing(call, "overlay volatile", context);
    }
  }
  if (sys::FsconfigCreate(context) != 0) return FailClosing(call, "create overlay", context);
  const int mount = sys::Fsmount(context, 0);
  if (mount < 0) return FailClosing(call, "mount overlay", context);
  close(context);
  return mount;
}

// Kernels before 6.8: one option string of at most a page, names relative to /data (see ADR 0002).
int OverlayByMount(const Step& step, const char** call) {
  char options[4096];
  const bool writable = (step.a() & wire::kOverlayReadonly) == 0;
  size_t used = 0;
  const std::string_view parts[] = {
      "lowerdir=",
      step.String(0),
      writable ? ",upperdir=" : "",
      step.String(1),
      writable ? ",workdir=" : "",
      step.String(2),
      writable && (step.a() & wire::kOverlayVolatile) ? ",volatile" : ""};
  for (const std::string_view part : parts) {
    if (used + part.size() >= sizeof(options)) {
      errno = E2BIG;
      return Fail(call, "overlay options");
    }
    memcpy(options + used, part.data(), part.size());
    used += part.size();
  }
  options[used] = '\0';
  if (mount("overlay", kRootfsDir, "overlay", 0, options) != 0) return Fail(call, "mount overlay");
  const int root = open(kRootfsDir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return root < 0 ? Fail(call, "open rootfs") : root;
}

// Mounts `tree` (detached) on what `target` names below the root; both by fd.
int Attach(int tree, int target, const char** call) {
  if (target < 0) return FailClosing(call, "open target", tree);
  const int moved = sys::MoveMount(tree, target);
  const int error = errno;
  close(target);
  close(tree);
  errno = error;
  return moved == 0 ? 0 : Fail(call, "move_mount");
}

bool IsNullDevice(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISCHR(info.st_mode) && info.st_rdev == makedev(1, 3);
}

}  // namespace

int StepPrivateMounts(const Step&, StepContext*, const char** call) {
  return mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0
             ? 0
             : Fail(call, "make mounts private");
}

int StepMountOverlay(const Step& step, StepContext* context, const char** call) {
  if (chdir(kDataDir) != 0) return Fail(call, "chdir data");
  if (step.a() & wire::kOverlayByFsopen) {
    const int mount = OverlayByFsopen(step, call);
    if (mount < 0) return -1;
    const int target = open(kRootfsDir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (target < 0 || sys::MoveMount(mount, target) != 0) return Fail(call, "attach overlay");
    close(target);
    context->root = mount;
  } else {
    context->root = OverlayByMount(step, call);
  }
  return context->root < 0 ? -1 : 0;
}

int StepMount(const Step& step, StepContext* context, const char** call) {
  const char* type = step.String(0).data();
  const int mount = NewMount(type, step.String(2), static_cast<uint64_t>(step.a()));
  if (mount < 0) {
    if (step.c() == 1 && (errno == EPERM || errno == ENODEV || errno == EINVAL || errno == EBUSY))
      return 0;
    return Fail(call, "create mount");
  }
  if (strcmp(type, "proc") == 0) context->proc = fcntl(mount, F_DUPFD_CLOEXEC, 3);
  const int target = OpenOrMakeInRoot(context->root, step.String(1),
                                      static_cast<wire::PathKind>(step.b()), Links::kRefuse);
  return Attach(mount, target, call);
}

int StepBind(const Step& step, StepContext* context, const char** call) {
  int tree;
  if (step.a() >= 0) {
    if (step.a() >= context->fd_count) {
      errno = EBADF;
      return Fail(call, "bind source");
    }
    tree = fcntl(context->fds[step.a()], F_DUPFD_CLOEXEC, 3);
  } else {
    tree =
        sys::OpenTree(AT_FDCWD, step.String(1).data(), sys::kOpenTreeClone | sys::kOpenTreeCloexec);
  }
  if (tree < 0) return Fail(call, "open bind source");
  if (step.c() != 0 &&
      sys::MountSetattr(tree, AT_EMPTY_PATH, {.set = static_cast<uint64_t>(step.c())}) != 0) {
    return FailClosing(call, "mount_setattr", tree);
  }
  const int target = OpenOrMakeInRoot(context->root, step.String(0),
                                      static_cast<wire::PathKind>(step.b()), Links::kFollowInRoot);
  return Attach(tree, target, call);
}

int StepMakeNode(const Step& step, StepContext* context, const char** call) {
  char buffer[PATH_MAX];
  const char* name;
  const int parent = OpenParentInRoot(context->root, step.String(0), &name, buffer, sizeof(buffer));
  if (parent < 0) return Fail(call, "open parent");
  // The mode is given whole; the process's umask is 0 (RunSteps).
  if (mknodat(parent, name, static_cast<mode_t>(step.a()), static_cast<dev_t>(step.b())) != 0) {
    return FailClosing(call, "mknod", parent);
  }
  close(parent);
  return 0;
}

int StepMakeDir(const Step& step, StepContext* context, const char** call) {
  char buffer[PATH_MAX];
  const char* name;
  const int parent = OpenParentInRoot(context->root, step.String(0), &name, buffer, sizeof(buffer));
  if (parent < 0) return Fail(call, "open parent");
  if (mkdirat(parent, name, static_cast<mode_t>(step.a())) != 0 && errno != EEXIST) {
    return FailClosing(call, "mkdir", parent);
  }
  close(parent);
  return 0;
}

int StepSymlink(const Step& step, StepContext* context, const char** call) {
  char buffer[PATH_MAX];
  const char* name;
  const int parent = OpenParentInRoot(context->root, step.String(0), &name, buffer, sizeof(buffer));
  if (parent < 0) return Fail(call, "open parent");
  if (symlinkat(step.String(1).data(), parent, name) != 0 && errno != EEXIST) {
    return FailClosing(call, "symlink", parent);
  }
  close(parent);
  return 0;
}

int StepPivotRoot(const Step&, StepContext* context, const char** call) {
  if (fchdir(context->root) != 0) return Fail(call, "chdir rootfs");
  if (sys::PivotRoot(".", ".") != 0) return Fail(call, "pivot_root");
  // The old root is stacked on top of the new one now: detach it, and with it all that the host had
  // there.
  if (umount2(".", MNT_DETACH) != 0) return Fail(call, "detach old root");
  if (chdir("/") != 0) return Fail(call, "chdir /");
  close(context->root);
  context->root = -1;
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
      const int mount = NewMount("tmpfs", "size=4k,nr_inodes=1,mode=0555",
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
    const int null = OpenInRoot(context->root, "/dev/null", Links::kRefuse);
    if (null < 0 || !IsNullDevice(null)) {
      errno = ENODEV;
      return FailClosing(call, "/dev/null for mask", target);
    }
    tree = sys::OpenTree(null, "", AT_EMPTY_PATH | sys::kOpenTreeClone | sys::kOpenTreeCloexec);
    close(null);
  }
  if (tree < 0) return FailClosing(call, "clone mask", target);
  return Attach(tree, target, call);
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
  return Attach(tree, target, call);
}

int StepSetMountAttr(const Step& step, StepContext* context, const char** call) {
  const int mount = OpenInRoot(context->root, step.String(0).data(), Links::kRefuse);
  if (mount < 0) return Fail(call, "open mount");
  if (sys::MountSetattr(mount, AT_EMPTY_PATH, {.set = static_cast<uint64_t>(step.a())}) != 0) {
    return FailClosing(call, "mount_setattr", mount);
  }
  close(mount);
  return 0;
}

int EnsureProc(StepContext* context, const char** call) {
  if (context->proc >= 0) return 0;
  context->proc =
      NewMount("proc", "", sys::kMountAttrNosuid | sys::kMountAttrNodev | sys::kMountAttrNoexec);
  return context->proc >= 0 ? 0 : Fail(call, "mount proc");
}

int StepTerminal(const Step&, StepContext* context, const char** call) {
  // Only the container's own devpts can be at /dev/pts, and its ptmx is 5:2; the image cannot put
  // another there.
  const int path = OpenInRoot(context->root, "/dev/pts/ptmx", Links::kRefuse);
  struct stat info;
  if (path < 0 || fstat(path, &info) != 0 || !S_ISCHR(info.st_mode) ||
      info.st_rdev != makedev(5, 2)) {
    errno = ENODEV;
    return Fail(call, "find /dev/pts/ptmx");
  }
  const int directory = OpenInRoot(context->root, "/dev/pts", Links::kRefuse);
  close(path);
  if (directory < 0) return Fail(call, "open /dev/pts");
  const int master = openat(directory, "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
  close(directory);
  if (master < 0) return Fail(call, "open ptmx");
  int unlock = 0;
  if (ioctl(master, TIOCSPTLCK, &unlock) != 0) return Fail(call, "unlock pty");
  context->terminal = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (context->terminal < 0) return Fail(call, "open pty");
  char tag = 'T';
  iovec iov = {&tag, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &master, sizeof(int));
  if (sendmsg(context->channel, &message, MSG_NOSIGNAL) != 1) return Fail(call, "hand over pty");
  close(master);
  for (int fd = 0; fd <= 2; ++fd) {
    if (dup2(context->terminal, fd) < 0) return Fail(call, "dup2");
  }
  if (ioctl(0, TIOCSCTTY, 0) != 0) return Fail(call, "set controlling terminal");
  return 0;
}

int StepLinkConsole(const Step&, StepContext* context, const char** call) {
  const int tree = sys::OpenTree(context->terminal, "",
                                 AT_EMPTY_PATH | sys::kOpenTreeClone | sys::kOpenTreeCloexec);
  if (tree < 0) return Fail(call, "clone pty");
  return Attach(tree, OpenOrMakeInRoot(context->root, "/dev/console", wire::kFile, Links::kRefuse),
                call);
}

}  // namespace berth::monitor
