#include "src/sandbox/network/netns_pin.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "src/base/id.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr size_t kNameDigits = 32;

}  // namespace

absl::Status PrepareNetnsDirectory(const std::string& directory) {
  RETURN_IF_ERROR(MakeDirs(directory, 0755));
  const auto share = [&](unsigned long more) {
    return ::mount("", directory.c_str(), "none", MS_SHARED | more, nullptr) == 0;
  };
  if (share(0)) return absl::OkStatus();
  if (errno != EINVAL) return ErrnoStatus("make a shared mount of", directory);
  if (::mount(directory.c_str(), directory.c_str(), "none", MS_BIND | MS_REC, nullptr) != 0)
    return ErrnoStatus("bind", directory);
  return share(MS_REC) ? absl::OkStatus() : ErrnoStatus("make a shared mount of", directory);
}

std::string NewNetnsPath(const std::string& directory) {
  return absl::StrCat(directory, "/cni-", NewId().substr(0, kNameDigits));
}

absl::Status PinNetns(int netns_fd, const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd file,
                   OpenFile(AT_FDCWD, path, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0444));
  const std::string source = absl::StrCat("/proc/self/fd/", netns_fd);
  if (::mount(source.c_str(), path.c_str(), "none", MS_BIND, nullptr) == 0) return absl::OkStatus();
  const absl::Status failed = ErrnoStatus("pin network namespace at", path);
  ::unlink(path.c_str());
  return failed;
}

absl::Status UnpinNetns(const std::string& path) {
  if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != EINVAL &&
      errno != ENOENT) {
    return ErrnoStatus("umount", path);
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus("unlink", path);
  return absl::OkStatus();
}

bool IsNetns(const std::string& path) {
  struct statfs info;
  return ::statfs(path.c_str(), &info) == 0 && info.f_type == NSFS_MAGIC;
}

}  // namespace berth
