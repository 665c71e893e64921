#include "src/kernel/file_system_facts.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "src/base/status_macros.h"
#include "src/kernel/cgroup_reader.h"

namespace berth {

absl::StatusOr<FileSystemFacts> ReadFileSystemFacts(int fd) {
  struct stat info;
  struct statvfs space;
  if (::fstat(fd, &info) != 0) return ErrnoStatus("fstat", "directory");
  if (::fstatvfs(fd, &space) != 0) return ErrnoStatus("fstatvfs", "directory");
  FileSystemFacts facts{.device = BlockDeviceName(major(info.st_dev), minor(info.st_dev)),
                        .bytes = space.f_blocks * space.f_frsize,
                        .bytes_free = space.f_bavail * space.f_frsize,
                        .inodes = space.f_files,
                        .inodes_free = space.f_favail};
  if (facts.device.empty()) facts.device = "none";
  return facts;
}

}  // namespace berth
