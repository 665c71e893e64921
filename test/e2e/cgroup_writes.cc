#include "test/e2e/cgroup_writes.h"

#include <fcntl.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <fstream>
#include <sstream>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "test/e2e/isolation.h"

namespace berth::e2e {
namespace {

std::vector<std::string> CgroupMounts() {
  std::ifstream file("/proc/self/mounts");
  std::vector<std::string> mounts;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string source, place, type;
    fields >> source >> place >> type;
    if (type == "cgroup" || type == "cgroup2") mounts.push_back(place);
  }
  return mounts;
}

absl::StatusOr<std::string> PathOf(int fd) {
  char path[PATH_MAX];
  const ssize_t length = readlink(absl::StrCat("/proc/self/fd/", fd).c_str(), path, sizeof(path));
  if (length < 0) return absl::InternalError(absl::StrCat("readlink: ", std::strerror(errno)));
  return std::string(path, static_cast<size_t>(length));
}

}  // namespace

absl::StatusOr<CgroupWrites> CgroupWrites::Watch() {
  UniqueFd group(fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE,
                               O_RDONLY | O_CLOEXEC));
  if (!group.valid() && (errno == ENOSYS || errno == EPERM))
    return absl::UnavailableError(absl::StrCat("fanotify_init: ", std::strerror(errno)));
  if (!group.valid())
    return absl::InternalError(absl::StrCat("fanotify_init: ", std::strerror(errno)));
  for (const std::string& mount : CgroupMounts()) {
    if (fanotify_mark(group.get(), FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_MODIFY, AT_FDCWD,
                      mount.c_str()) != 0)
      return absl::InternalError(absl::StrCat("fanotify_mark ", mount, ": ", std::strerror(errno)));
  }
  return CgroupWrites(std::move(group));
}

absl::StatusOr<std::vector<std::string>> CgroupWrites::Take() {
  std::vector<std::string> paths;
  alignas(fanotify_event_metadata) char buffer[1 << 14];
  while (true) {
    const ssize_t length = read(group_.get(), buffer, sizeof(buffer));
    if (length < 0 && errno == EAGAIN) return paths;
    if (length < 0 && (errno == ENODEV || errno == ENOENT)) continue;  // its cgroup is gone
    if (length < 0)
      return absl::InternalError(absl::StrCat("read fanotify: ", std::strerror(errno)));
    const auto* event = reinterpret_cast<const fanotify_event_metadata*>(buffer);
    for (ssize_t left = length; FAN_EVENT_OK(event, left); event = FAN_EVENT_NEXT(event, left)) {
      const UniqueFd file(event->fd);
      auto path = PathOf(file.get());
      if (!path.ok()) return path.status();
      if (absl::StrContains(*path, NodeName())) paths.push_back(*std::move(path));
    }
  }
}

}  // namespace berth::e2e
