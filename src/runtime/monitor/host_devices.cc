#include "src/runtime/monitor/host_devices.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "src/runtime/device_record.h"

namespace berth::monitor {
namespace {

using wire::DeviceRecord;
using wire::DeviceRecordKind;

constexpr int kSocket = 3;
// Not devices of the host, but what a container has of its own, or what container managers keep.
constexpr const char* kSkippedDirectories[] = {"pts",  "shm",         "fd",   "mqueue",
                                               ".lxc", ".lxd-mounts", ".udev"};
constexpr const char* kSkippedFile = "console";

bool IsDevice(const struct stat& info) {
  if (S_ISBLK(info.st_mode)) return true;
  // Character device 0:0 is overlayfs's mark of a deleted file.
  return S_ISCHR(info.st_mode) && info.st_rdev != 0;
}

bool Skipped(const char* name) {
  for (const char* skipped : kSkippedDirectories) {
    if (strcmp(name, skipped) == 0) return true;
  }
  return false;
}

// Walks one path. `path_` is always the path of what is looked at.
class DeviceWalk {
 public:
  // 0 or an errno.
  int Run(const char* path);

 private:
  int WalkDirectory(int directory, size_t length, int depth);
  int WalkEntry(int directory, const char* name, size_t length, int depth);
  int SendDevice(const struct stat& info, size_t length);

  char path_[PATH_MAX];
  size_t root_length_ = 0;  // of the path that was asked for
  int devices_ = 0;
};

int DeviceWalk::SendDevice(const struct stat& info, size_t length) {
  if (++devices_ > wire::kMaxDevices) return E2BIG;
  DeviceRecord record = {.kind = DeviceRecordKind::kDevice,
                         .error = 0,
                         .type = static_cast<uint32_t>(S_ISBLK(info.st_mode) ? 'b' : 'c'),
                         .major = major(info.st_rdev),
                         .minor = minor(info.st_rdev),
                         .mode = info.st_mode & 07777,
                         .uid = info.st_uid,
                         .gid = info.st_gid};
  // Behind the root there is a slash, unless the root is all, or is "/" itself.
  const size_t below = length == root_length_ ? length : root_length_ + (root_length_ > 1 ? 1 : 0);
  iovec parts[] = {
      {&record, sizeof(record)}, {path_, length + 1}, {path_ + below, length - below + 1}};
  msghdr message = {};
  message.msg_iov = parts;
  message.msg_iovlen = 3;
  return sendmsg(kSocket, &message, MSG_NOSIGNAL) < 0 ? errno : 0;
}

int DeviceWalk::WalkEntry(int directory, const char* name, size_t length, int depth) {
  struct stat info;
  // What has gone meanwhile is not there.
  if (fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return errno == ENOENT ? 0 : errno;
  const bool is_directory = S_ISDIR(info.st_mode);
  if (is_directory ? Skipped(name) : !IsDevice(info) || strcmp(name, kSkippedFile) == 0) return 0;
  const size_t slash = length > 1 ? 1 : 0;
  const size_t name_length = strlen(name);
  if (length + slash + name_length >= sizeof(path_)) return ENAMETOOLONG;
  if (slash) path_[length] = '/';
  memcpy(path_ + length + slash, name, name_length + 1);
  const size_t full = length + slash + name_length;
  if (!is_directory) return SendDevice(info, full);
  if (depth == wire::kDeviceMaxDepth) return ELOOP;
  const int inner = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (inner < 0) return errno == ENOENT ? 0 : errno;
  return WalkDirectory(inner, full, depth + 1);
}

// Closes `directory`.
int DeviceWalk::WalkDirectory(int directory, size_t length, int depth) {
  DIR* stream = fdopendir(directory);
  if (stream == nullptr) {
    const int error = errno;
    close(directory);
    return error;
  }
  int error = 0;
  while (error == 0) {
    errno = 0;
    const dirent* entry = readdir(stream);
    if (entry == nullptr) {
      error = errno;
      break;
    }
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    error = WalkEntry(directory, entry->d_name, length, depth);
    path_[length] = '\0';
  }
  closedir(stream);
  return error;
}

int DeviceWalk::Run(const char* path) {
  if (realpath(path, path_) == nullptr) return errno;
  root_length_ = strlen(path_);
  struct stat info;
  if (lstat(path_, &info) != 0) return errno;
  if (IsDevice(info)) return SendDevice(info, root_length_);
  if (!S_ISDIR(info.st_mode)) return ENODEV;
  const int directory = open(path_, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (directory < 0) return errno;
  return WalkDirectory(directory, root_length_, 0);
}

}  // namespace

int DescribeDevices(char** paths, int count) {
  for (int i = 0; i < count; ++i) {
    DeviceWalk walk;
    const DeviceRecord end = {.kind = DeviceRecordKind::kEnd, .error = walk.Run(paths[i])};
    if (send(kSocket, &end, sizeof(end), MSG_NOSIGNAL) < 0) return 1;
  }
  return 0;
}

}  // namespace berth::monitor
