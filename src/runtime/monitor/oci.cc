#include "src/runtime/monitor/oci.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/runtime/monitor/channel.h"
#include "src/runtime/monitor/child.h"
#include "src/runtime/monitor/oci_start_child.h"
#include "src/runtime/monitor/packet.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

// Descriptors that it is started with.
constexpr int kControlFd = kOciControlFd;
enum OciFd : int { kPrepareFd = 4, kExecuteFd = 5, kOciFdsBegin = 6 };
constexpr int kMaxFds = 512;

// Relays what the new process says on its channel to berth-oci, and the answers back.
class Relay {
 public:
  Relay(int channel, pid_t pid, bool waits) : channel_(channel), pid_(pid), waits_(waits) {}

  int Run() {
    pollfd waiting = {.fd = channel_, .events = POLLIN, .revents = 0};
    while (true) {
      if (poll(&waiting, 1, -1) < 0 && errno != EINTR) return 1;
      ChannelEvent event;
      ReceiveChannel(channel_, &event);
      int code = 0;
      if (Handle(event, &code)) return code;
    }
  }

 private:
  // True once the start has succeeded or failed.
  bool Handle(const ChannelEvent& event, int* code) {
    switch (event.kind) {
      case ChannelEvent::Kind::kNothing:
        return false;
      case ChannelEvent::Kind::kFailure:
        Send(kControlFd, wire::Type::kError, event.failure, sizeof(wire::ErrorReply));
        *code = 1;
        return true;
      case ChannelEvent::Kind::kEnd:
        // A process that waits says so before it closes its end.
        if (waits_) {
          SendError(kControlFd, -1, ECHILD, "the process ended while it was created");
        } else if (!HasExeced(pid_)) {
          SendError(kControlFd, -1, ECHILD, "the process ended before its exec");
        } else {
          SendStarted();
        }
        return true;
      case ChannelEvent::Kind::kMessage:
        return HandleMessage(event);
    }
    return false;
  }

  bool HandleMessage(const ChannelEvent& event) {
    if (event.message.tag == kOciWaiting) {
      SendStarted();
      return true;
    }
    switch (event.message.tag) {
      case ChannelTag::kTerminal:
        terminal_ = event.fd;
        return false;
      case ChannelTag::kMoved:
        pid_ = event.sender;
        return false;
      case ChannelTag::kAskPid:
        Answer(pid_);
        return false;
      case ChannelTag::kAskHooks:
        Ask(wire::Type::kHooksDue, -1);
        return false;
      case ChannelTag::kListener:
        Ask(wire::Type::kSeccompListener, event.fd);
        return false;
      default:
        return false;
    }
  }

  void Ask(wire::Type type, int fd) {
    const wire::StartedReply question = {.pid = pid_};
    Send(kControlFd, type, &question, sizeof(question), &fd, fd >= 0 ? 1 : 0);
    if (fd >= 0) close(fd);
    Packet packet;
    wire::HooksDone done = {.error = ECONNRESET};
    Packet::Result result;
    do {
      result = packet.Receive(kControlFd);
    } while (result == Packet::Result::kNothing);
    if (result != Packet::Result::kMessage || !packet.Read(&done)) done.error = ECONNRESET;
    Answer(done.error);
  }

  void Answer(int value) { SendChannel(channel_, {.tag = ChannelTag::kAnswer, .value = value}); }

  void SendStarted() {
    const wire::StartedReply reply = {.pid = pid_};
    Send(kControlFd, wire::Type::kStarted, &reply, sizeof(reply), &terminal_,
         terminal_ >= 0 ? 1 : 0);
  }

  const int channel_;
  pid_t pid_;
  const bool waits_;
  int terminal_ = -1;
};

struct Operands {
  uint64_t clone_flags;
  int fd_count, cgroup, pid_namespace, container, start, result;
  bool new_keyring;
};

Operands ParseOperands(char** arguments) {
  return {.clone_flags = strtoull(arguments[0], nullptr, 10),
          .fd_count = atoi(arguments[1]),
          .cgroup = atoi(arguments[2]),
          .pid_namespace = atoi(arguments[3]),
          .container = atoi(arguments[4]),
          .start = atoi(arguments[5]),
          .result = atoi(arguments[6]),
          .new_keyring = arguments[7][0] == '1'};
}

int FdAt(int index) { return index < 0 ? -1 : kOciFdsBegin + index; }

}  // namespace

int RunOciLauncher(char** arguments) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const Operands operands = ParseOperands(arguments);
  int fds[kMaxFds];
  Plan prepare, execute;
  if (operands.fd_count > kMaxFds || !prepare.Map(kPrepareFd) || !execute.Map(kExecuteFd)) {
    SendError(kControlFd, -1, EBADMSG, "read plan");
    return 1;
  }
  for (int i = 0; i < operands.fd_count; ++i) fds[i] = kOciFdsBegin + i;
  int channel[2];
  const int on = 1;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) != 0 ||
      setsockopt(channel[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0) {
    SendError(kControlFd, -1, errno, "socketpair");
    return 1;
  }
  if (operands.pid_namespace >= 0 && sys::SetNs(FdAt(operands.pid_namespace), CLONE_NEWPID) != 0) {
    SendError(kControlFd, -1, errno, "enter pid namespace");
    return 1;
  }
  clone_args args = {};
  args.flags = operands.clone_flags | CLONE_PARENT;
  if (operands.cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(FdAt(operands.cgroup));
  }
  const OciStart request = {.prepare = &prepare,
                            .execute = &execute,
                            .fds = fds,
                            .fd_count = operands.fd_count,
                            .channel = channel[1],
                            .container = FdAt(operands.container),
                            .start = FdAt(operands.start),
                            .result = FdAt(operands.result),
                            .new_keyring = operands.new_keyring};
  const pid_t pid = sys::Clone3(&args);
  if (pid == 0) RunOciChild(request);
  if (pid < 0) {
    SendError(kControlFd, -1, errno, "clone3");
    return 1;
  }
  close(channel[1]);
  return Relay(channel[0], pid, operands.start >= 0).Run();
}

}  // namespace berth::monitor
