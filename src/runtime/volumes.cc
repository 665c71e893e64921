#include "src/runtime/volumes.h"

#include <unistd.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/kernel/process.h"
#include "src/kernel/reap.h"
#include "src/kernel/socket.h"
#include "src/runtime/monitor_protocol.h"

namespace berth {

absl::StatusOr<std::vector<OpenedVolume>> OpenVolumes(int monitor,
                                                      const std::vector<VolumePath>& paths,
                                                      absl::Duration timeout) {
  std::vector<OpenedVolume> volumes;
  if (paths.empty()) return volumes;
  ASSIGN_OR_RETURN(SocketPair pair, ConnectedPair());
  SpawnRequest request{.executable_fd = monitor,
                       .argv = {"berth-monitor", "--open-volumes"},
                       .fds = {-1, -1, -1, pair.theirs.get()}};
  for (const VolumePath& wanted : paths)
    request.argv.push_back(absl::StrCat(wanted.make ? "" : "=", wanted.path));
  ASSIGN_OR_RETURN(SpawnedProcess helper, Spawn(request));
  pair.theirs.reset();
  const absl::Time deadline = SteadyNow() + timeout;
  absl::Status status;
  for (const auto& [path, make] : paths) {
    absl::StatusOr<Packet> packet = ReceivePacket(pair.ours.get(), deadline);
    wire::VolumeReply reply = {};
    if (absl::IsDeadlineExceeded(packet.status())) {
      status = absl::DeadlineExceededError(absl::StrCat("open volume ", path,
                                                        ": no answer from its file system within ",
                                                        absl::FormatDuration(timeout)));
    } else if (!packet.ok() || packet->data.size() != sizeof(reply)) {
      status = absl::InternalError(absl::StrCat("open volume ", path, ": helper died"));
    } else {
      std::memcpy(&reply, packet->data.data(), sizeof(reply));
      if (reply.error != 0 || packet->fds.size() != 1)
        status = ErrnoStatus("open volume", path, reply.error);
    }
    if (!status.ok()) break;
    volumes.push_back({.tree = std::move(packet->fds[0]),
                       .is_directory = reply.is_directory != 0,
                       .shared = reply.shared != 0,
                       .slave = reply.slave != 0,
                       .attributes = reply.attributes});
  }
  KillAndReap(std::move(helper.pidfd), absl::IsDeadlineExceeded(status));
  if (!status.ok()) return status;
  return volumes;
}

}  // namespace berth
