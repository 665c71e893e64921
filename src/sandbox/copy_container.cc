// Copying files out of a container and into it: who does it, and where the files are.
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/copy/copy_rules.h"
#include "src/kernel/socket.h"
#include "src/sandbox/node.h"

namespace berth {
namespace {

constexpr absl::Duration kMonitorTimeout = absl::Seconds(10);
constexpr size_t kMaxPathBytes = 4096;

absl::Status CheckPath(const std::string& path) {
  if (path.empty()) return absl::InvalidArgumentError("path: is empty");
  if (path.size() > kMaxPathBytes || absl::StrContains(path, absl::string_view("\0", 1)))
    return absl::InvalidArgumentError("path: is too long or has a NUL");
  return absl::OkStatus();
}

// Nothing is mounted while the container does not run: what would be read there, or written, is
// not what it sees.
absl::Status CheckNoVolumeOnTheWay(const ContainerRecord& container, const std::string& typed) {
  const std::string path = ParseCopyPath(typed).path;
  for (const BindMount& mount : container.config.mounts) {
    const std::string target = ParseCopyPath(mount.container_path).path;
    if (path != target && !absl::StartsWith(path, target + "/")) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        path, " is on the volume ", target, ", which is there only while the container runs"));
  }
  return absl::OkStatus();
}

}  // namespace

// The monitor reaps the process: what it calls running after the descriptor was opened cannot have
// been another process then.
absl::StatusOr<UniqueFd> Node::PinFirstProcess(const ContainerRecord& container) const {
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, container.status.pid, 0)));
  if (!pidfd.valid()) return ErrnoStatus("pidfd_open", container.id);
  ASSIGN_OR_RETURN(const UniqueFd watch, Monitor(container.pod_id).Watch());
  while (true) {
    ASSIGN_OR_RETURN(const Packet packet,
                     ReceivePacket(watch.get(), SteadyNow() + kMonitorTimeout));
    ASSIGN_OR_RETURN(const std::optional<WatchEvent> event, ParseWatchEvent(packet.data));
    if (!event.has_value()) break;
    if (event->container_id != container.id) continue;
    if (event->running && event->pid == container.status.pid) return pidfd;
    break;
  }
  return absl::FailedPreconditionError(absl::StrCat("container ", container.id, " has just ended"));
}

absl::StatusOr<std::unique_ptr<RunningCopies::Hold>> Node::StartCopy(absl::string_view id,
                                                                     CopyJob job) {
  RETURN_IF_ERROR(CheckPath(job.path));
  RETURN_IF_ERROR(copies_.CheckRoom());
  ASSIGN_OR_RETURN(const ContainerPtr found, state_.FindContainer(id));
  // Held until the copy is known to those who would end it.
  const KeyedLocks::Hold hold = locks_.Lock(absl::StrCat("container/", found->id));
  ASSIGN_OR_RETURN(const ContainerPtr container, state_.FindContainer(found->id));
  UniqueFd pidfd;
  if (container->status.state == ContainerState::kRunning) {
    ASSIGN_OR_RETURN(pidfd, PinFirstProcess(*container));
    job.root = {.pid = container->status.pid};
  } else {
    // Its root may be mounted, which it must not be twice.
    if (container->status.unread) return UnreadError(*container);
    RETURN_IF_ERROR(CheckNoVolumeOnTheWay(*container, job.path));
    const std::string directory = absl::StrCat("containers/", container->id);
    job.root = {.layers = container->image.layers,
                .upper = directory + "/upper",
                .work = directory + "/work",
                .read_only = container->config.readonly_rootfs};
  }
  ASSIGN_OR_RETURN(std::unique_ptr<CopyProcess> process,
                   CopyProcess::Start({.executable = copy_executable_.get(),
                                       .node_namespace = mount_namespace_.get(),
                                       .pidfd = pidfd.get(),
                                       .job = std::move(job)}));
  return std::make_unique<RunningCopies::Hold>(copies_, container->id, std::move(process));
}

}  // namespace berth
