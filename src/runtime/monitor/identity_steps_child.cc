#include "src/runtime/monitor/identity_steps_child.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "src/runtime/monitor/channel.h"
#include "src/runtime/monitor/step_result.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

// Pipes and the terminal are to be opened again by the user of the process, too (/dev/stdout,
// /dev/pts/0). What the kernel refuses is somebody else's.
void GiveStdioTo(uid_t uid, const StepContext& context) {
  for (int fd = 0; fd <= 2; ++fd) {
    struct stat info;
    if (fstat(fd, &info) != 0) continue;
    const bool own_terminal = context.terminal >= 0 && S_ISCHR(info.st_mode);
    if ((S_ISFIFO(info.st_mode) || own_terminal) && info.st_uid != uid) (void)!fchown(fd, uid, -1);
  }
}

uint64_t Both(const __user_cap_data_struct* data, uint32_t __user_cap_data_struct::*set) {
  return data[0].*set | static_cast<uint64_t>(data[1].*set) << 32;
}

}  // namespace

int StepSetIdentity(const Step& step, StepContext* context, const char** call) {
  const std::string_view groups = step.String(0);
  const auto gid = static_cast<gid_t>(step.b());
  const auto uid = static_cast<uid_t>(step.a());
  GiveStdioTo(uid, *context);
  if (syscall(SYS_setgroups, groups.size() / sizeof(gid_t), groups.data()) != 0)
    return Fail(call, "setgroups");
  if (syscall(SYS_setresgid, gid, gid, gid) != 0) return Fail(call, "setgid");
  if (prctl(PR_SET_KEEPCAPS, 1) != 0) return Fail(call, "keep capabilities");
  if (syscall(SYS_setresuid, uid, uid, uid) != 0) return Fail(call, "setuid");
  if (prctl(PR_SET_KEEPCAPS, 0) != 0) return Fail(call, "keep capabilities");
  // New ids change what a process is dumpable for and clear its parent-death signal (prctl(2)).
  // The exec of a set-user-ID file, or of one with capabilities, clears that signal once more, and
  // so may the program: of a monitor's death berthd kills the cgroup, the signal is only faster.
  prctl(PR_SET_DUMPABLE, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  return 0;
}

int StepDropBounding(const Step& step, StepContext*, const char** call) {
  const auto keep = static_cast<uint64_t>(step.a());
  for (int capability = 0; capability < 64; ++capability) {
    if (keep >> capability & 1) continue;
    if (prctl(PR_CAPBSET_DROP, capability) != 0) {
      if (errno == EINVAL) break;  // beyond the last one that this kernel knows
      return Fail(call, "drop bounding capability");
    }
  }
  return 0;
}

int StepSetCapabilities(const Step& step, StepContext*, const char** call) {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct now[2];
  if (syscall(SYS_capget, &header, now) != 0) return Fail(call, "capget");
  const uint64_t held = Both(now, &__user_cap_data_struct::permitted);
  const uint64_t permitted = static_cast<uint64_t>(step.a()) & held;
  const uint64_t effective = static_cast<uint64_t>(step.b()) & permitted;
  const uint64_t inheritable = static_cast<uint64_t>(step.c()) & held;
  __user_cap_data_struct next[2] = {};
  for (int half = 0; half < 2; ++half) {
    next[half].permitted = static_cast<uint32_t>(permitted >> (32 * half));
    next[half].effective = static_cast<uint32_t>(effective >> (32 * half));
    next[half].inheritable = static_cast<uint32_t>(inheritable >> (32 * half));
  }
  if (syscall(SYS_capset, &header, next) != 0) return Fail(call, "capset");
  return 0;
}

int StepSetAmbient(const Step& step, StepContext*, const char** call) {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct now[2];
  if (syscall(SYS_capget, &header, now) != 0) return Fail(call, "capget");
  const uint64_t ambient = static_cast<uint64_t>(step.a()) &
                           Both(now, &__user_cap_data_struct::permitted) &
                           Both(now, &__user_cap_data_struct::inheritable);
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    return Fail(call, "clear ambient capabilities");
  for (int capability = 0; capability < 64; ++capability) {
    if ((ambient >> capability & 1) &&
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0) {
      return Fail(call, "raise ambient capability");
    }
  }
  return 0;
}

int StepNoNewPrivs(const Step&, StepContext*, const char** call) {
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : Fail(call, "no_new_privs");
}

int StepSeccomp(const Step& step, StepContext* context, const char** call) {
  const std::string_view code = step.String(0);
  // The string's bytes are not aligned in the plan; the kernel copies them, so only the pointer
  // type matters.
  sock_fprog program = {.len = static_cast<unsigned short>(code.size() / sizeof(sock_filter)),
                        .filter = reinterpret_cast<sock_filter*>(const_cast<char*>(code.data()))};
  const auto flags = static_cast<unsigned>(step.a());
  const long loaded = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  if (loaded < 0) return Fail(call, "load seccomp filter");
  // With TSYNC a thread that cannot follow is told by its id.
  if ((flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) == 0) {
    if (loaded == 0) return 0;
    errno = ESRCH;
    return Fail(call, "load seccomp filter");
  }
  // A filter that notifies sendmsg(2) itself waits here for a listener that nobody has yet.
  const auto listener = static_cast<int>(loaded);
  const int answer = AskChannel(context->channel, ChannelTag::kListener, listener);
  CloseKeepingErrno(listener);
  if (answer > 0) errno = answer;
  return answer == 0 ? 0 : Fail(call, "hand over seccomp listener");
}

}  // namespace berth::monitor
