// The file system that a directory is on.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace berth {

struct FileSystemFacts {
  std::string device;  // "/dev/vda1"; "none" for tmpfs and their like
  uint64_t bytes = 0, bytes_free = 0;
  uint64_t inodes = 0, inodes_free = 0;
};
absl::StatusOr<FileSystemFacts> ReadFileSystemFacts(int fd);

}  // namespace berth
