// Unix sockets: listeners, connections, and SOCK_SEQPACKET messages with file descriptors.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/base/unique_fd.h"

namespace berth {

// Binds and listens. A stale socket file (nobody accepts) is replaced; a live one is AlreadyExists.
// Paths longer than sun_path are bound through /proc/self/fd of their directory.
absl::StatusOr<UniqueFd> ListenUnix(const std::string& path, int type, mode_t mode);
// NotFound; Unavailable: nobody listens; DeadlineExceeded: nobody accepts for some seconds. What is
// sent waits no longer either.
absl::StatusOr<UniqueFd> ConnectUnix(const std::string& path, int type);

// Two SOCK_SEQPACKET sockets that are connected to each other: `theirs` is for a helper. What
// `ours` sends waits as long as on a connection of ConnectUnix.
struct SocketPair {
  UniqueFd ours, theirs;
};
absl::StatusOr<SocketPair> ConnectedPair();

struct Packet {
  std::string data;
  std::vector<UniqueFd> fds;
};

// One message with up to 253 fds (SCM_MAX_FD, unix(7)). Unavailable: the peer closed; OutOfRange:
// it is longer than the socket's send buffer, and nothing was sent.
absl::Status SendPacket(int socket, absl::string_view data, const std::vector<int>& fds);

// Waits until `deadline` (absl::InfiniteFuture() for none). Unavailable: the peer closed;
// DeadlineExceeded. `max_bytes` is 64 KiB at most.
absl::StatusOr<Packet> ReceivePacket(int socket, absl::Time deadline, size_t max_bytes = 64 << 10);

}  // namespace berth
