#include "hack/benchmarks/floor_child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

namespace berth::bench {
namespace {

struct StandardMount {
  const char* type;
  const char* target;
  unsigned long flags;
  const char* data;
};
constexpr StandardMount kMounts[] = {
    {"proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr},
    {"tmpfs", "dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"},
    {"devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"},
    {"tmpfs", "dev/shm", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k"},
    {"mqueue", "dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr},
    {"sysfs", "sys", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, nullptr},
};

struct Device {
  const char* path;
  unsigned major, minor;
};
constexpr Device kDevices[] = {{"dev/null", 1, 3},   {"dev/zero", 1, 5},    {"dev/full", 1, 7},
                               {"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0}};

bool JoinCgroups(const int* tasks, int count) {
  for (int i = 0; i < count; ++i) {
    if (::write(tasks[i], "0", 1) != 1) return false;
  }
  return true;
}

// The overlay by file descriptor, attached at `target` of this mount namespace only.
bool MountOverlay(const ContainerTask& task) {
  const int fs = static_cast<int>(::syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC));
  if (fs < 0) return false;
  const struct {
    const char* key;
    const char* value;
  } settings[] = {{"lowerdir", task.lower}, {"upperdir", task.upper}, {"workdir", task.work}};
  for (const auto& setting : settings) {
    if (::syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, setting.key, setting.value, 0) != 0)
      return false;
  }
  if (::syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "volatile", nullptr, 0) != 0) return false;
  if (::syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return false;
  const int mount = static_cast<int>(::syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0));
  return mount >= 0 &&
         ::syscall(SYS_move_mount, mount, "", AT_FDCWD, task.target, MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

bool MountCgroups(const ContainerTask& task) {
  if (::mount("tmpfs", "sys/fs/cgroup", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755") != 0)
    return false;
  for (int i = 0; i < task.view_count; ++i) {
    const CgroupView& view = task.views[i];
    if (::mkdir(view.target, 0755) != 0) return false;
    constexpr unsigned long kAttributes = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY;
    const bool mounted = view.cgroup == nullptr
                             ? ::mount("cgroup2", view.target, "cgroup2", kAttributes, nullptr) == 0
                             : ::mount(view.cgroup, view.target, nullptr, MS_BIND, nullptr) == 0 &&
                                   ::mount(nullptr, view.target, nullptr,
                                           MS_REMOUNT | MS_BIND | kAttributes, nullptr) == 0;
    if (!mounted) return false;
  }
  return true;
}

bool FillRoot(const ContainerTask& task) {
  for (const StandardMount& mount : kMounts) {
    ::mkdir(mount.target, 0755);
    if (::mount(mount.type, mount.target, mount.type, mount.flags, mount.data) != 0) return false;
  }
  for (const Device& device : kDevices) {
    if (::mknod(device.path, S_IFCHR | 0666, makedev(device.major, device.minor)) != 0)
      return false;
  }
  const struct {
    const char* file;
    const char* target;
  } files[] = {{task.hosts, "etc/hosts"},
               {task.hostname, "etc/hostname"},
               {task.resolv_conf, "etc/resolv.conf"}};
  for (const auto& bind : files) {
    if (::mount(bind.file, bind.target, nullptr, MS_BIND, nullptr) != 0) return false;
  }
  return MountCgroups(task);
}

bool DropPrivileges() {
  for (int capability = CAP_LAST_CAP; capability > CAP_SETPCAP; --capability) {
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL) return false;
  }
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

bool EnterContainer(const ContainerTask& task) {
  if (!JoinCgroups(task.cgroup_tasks, task.cgroups) || ::unshare(CLONE_NEWCGROUP) != 0)
    return false;
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) return false;
  if (!MountOverlay(task) || ::chdir(task.target) != 0 || !FillRoot(task)) return false;
  if (::syscall(SYS_pivot_root, ".", ".") != 0 || ::umount2(".", MNT_DETACH) != 0) return false;
  return ::chdir("/") == 0 && ::setsid() > 0 && DropPrivileges();
}

}  // namespace

[[noreturn]] void RunContainer(void* argument) {
  auto& task = *static_cast<ContainerTask*>(argument);
  task.error = 0;
  char program[] = "/bin/sleep", time[] = "36000";
  char* const arguments[] = {program, time, nullptr};
  char* const environment[] = {nullptr};
  if (EnterContainer(task)) ::execve(program, arguments, environment);
  task.error = errno;
  ::_exit(127);
}

[[noreturn]] void RunPod(void* argument) {
  auto& task = *static_cast<PodTask*>(argument);
  task.error = 0;
  char name[] = "sleep", time[] = "36000";
  char* const arguments[] = {name, time, nullptr};
  char* const environment[] = {nullptr};
  if (JoinCgroups(task.cgroup_tasks, task.cgroups) &&
      ::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) == 0 &&
      ::mount("shm", task.shm, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "mode=1777,size=65536k") == 0 &&
      ::setsid() > 0)
    ::execve(task.program, arguments, environment);
  task.error = errno;
  ::_exit(127);
}

[[noreturn]] void RunExec(void* argument) {
  auto& task = *static_cast<ExecTask*>(argument);
  task.error = 0;
  char program[] = "/bin/true";
  char* const arguments[] = {program, nullptr};
  char* const environment[] = {nullptr};
  constexpr int kNamespaces =
      CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
  if (JoinCgroups(task.cgroup_tasks, task.cgroups) && ::setns(task.pidfd, kNamespaces) == 0) {
    // A process joins a PID namespace by its children only.
    const pid_t child = ::vfork();
    if (child == 0) {
      if (DropPrivileges()) ::execve(program, arguments, environment);
      task.error = errno;
      ::_exit(127);
    }
    int status = 0;
    if (child > 0 && ::waitpid(child, &status, 0) == child) {
      if (status != 0 && task.error == 0) task.error = EIO;
      ::_exit(0);
    }
  }
  task.error = errno;
  ::_exit(127);
}

}  // namespace berth::bench
