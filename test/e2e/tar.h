// Tar archives and their compression, byte by byte under the test's control (ustar with PAX
// records).
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace berth::e2e {

struct TarEntry {
  std::string path;
  char type = '0';  // '0' file, '1' hard link, '2' symbolic link, '3' char, '4' block, '5'
                    // directory, '6' fifo
  std::string content;
  mode_t mode = 0644;
  uint32_t uid = 0, gid = 0;
  std::string link = "";  // target of '1' and '2'
  int major = 0, minor = 0;
  int64_t mtime = 1'700'000'000;
  std::map<std::string, std::string> xattrs = {};
};

TarEntry File(std::string path, std::string content, mode_t mode = 0644);
TarEntry Dir(std::string path, mode_t mode = 0755);
TarEntry Symlink(std::string path, std::string target);
TarEntry Hardlink(std::string path, std::string target);

std::string Tar(const std::vector<TarEntry>& entries);

enum class Compression { kNone, kGzip, kZstd };
std::string Compress(absl::string_view bytes, Compression compression);

// "sha256:<hex>".
std::string Digest(absl::string_view bytes);

}  // namespace berth::e2e
