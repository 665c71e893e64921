#include "src/sandbox/network/made_namespace.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/kernel/process.h"
#include "src/kernel/socket.h"

namespace berth {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(30);

}  // namespace

absl::StatusOr<MadeNamespace> MakeNetworkNamespace(const std::string& monitor_path,
                                                   const std::vector<std::string>& settings) {
  ASSIGN_OR_RETURN(SocketPair pair, ConnectedPair());
  std::vector<std::string> argv = {"berth-monitor", "--network-namespace"};
  argv.insert(argv.end(), settings.begin(), settings.end());
  ASSIGN_OR_RETURN(const SpawnedProcess process, Spawn({.path = monitor_path,
                                                        .argv = std::move(argv),
                                                        .fds = {-1, -1, -1, pair.theirs.get()}}));
  const auto reap = absl::MakeCleanup([&] {
    while (::waitid(P_PIDFD, static_cast<id_t>(process.pidfd.get()), nullptr, WEXITED) != 0 &&
           errno == EINTR) {
    }
  });
  pair.theirs.reset();
  ASSIGN_OR_RETURN(Packet packet, ReceivePacket(pair.ours.get(), SteadyNow() + kTimeout));
  int error = EBADMSG;
  if (packet.data.size() == sizeof(error)) std::memcpy(&error, packet.data.data(), sizeof(error));
  if (error == 0 && packet.fds.size() != 2) error = EBADMSG;
  if (error != 0) return ErrnoStatus("make", "network namespace", error);
  return MadeNamespace{.netns = std::move(packet.fds[0]), .netlink = std::move(packet.fds[1])};
}

}  // namespace berth
