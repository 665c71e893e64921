// What a process that is being started and its monitor say to each other over a SOCK_SEQPACKET
// pair. The child's end closes at its exec: a channel that ends without a word means "started". A
// failure comes as a kError packet of monitor_protocol.h; everything else is one ChannelMessage.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace berth::monitor {

enum class ChannelTag : uint32_t {
  kTerminal = 1,  // fd: the terminal's master
  kListener = 2,  // fd: a seccomp notify descriptor; waits for kAnswer
  kMoved = 3,     // the start goes on in the sender, a new child (kEnterUserNamespace)
  kAskPid = 4,    // which process am I? Answered by kAnswer, value the pid in the monitor's eyes
  kAskHooks = 5,  // waits for kAnswer
  kAnswer = 6,    // the monitor's; value: an errno, 0 to go on
  kCgroups = 7,   // the monitor's, unasked; value: how many of the fds are `tasks` files, views are
                  // behind them; or -errno
};

struct ChannelMessage {
  ChannelTag tag;
  int32_t value;
};

// False with errno.
bool SendChannel(int channel, ChannelMessage message, const int* fds = nullptr, int fd_count = 0);

// Sends, and waits for the answer: its value, or -1 with errno if the monitor is gone.
int AskChannel(int channel, ChannelTag tag, int fd = -1);

// Waits for kCgroups, before anything is asked. *message is that, with `fds`
// (wire::kMaxMessageFds, the caller's); false with errno if something else comes, or the end.
bool ReceiveCgroups(int channel, ChannelMessage* message, int* fds, int* fd_count);

// What was received at the monitor's end (SO_PASSCRED is on).
struct ChannelEvent {
  enum class Kind { kNothing, kMessage, kFailure, kEnd } kind = Kind::kNothing;
  ChannelMessage message = {};       // kMessage
  int fd = -1;                       // came with it; the caller's
  pid_t sender = -1;                 // in this process's pid namespace
  alignas(8) char failure[64] = {};  // kFailure: the wire::ErrorReply
};
void ReceiveChannel(int channel, ChannelEvent* event);

}  // namespace berth::monitor
