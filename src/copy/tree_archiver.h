// A file or directory tree as a tar archive. Names are opened one by one, links are archived and
// not followed, and what is no regular file is never opened: so whatever changes in the tree
// meanwhile leads nowhere else. One owner thread.
#pragma once

#include <sys/stat.h>

#include <map>
#include <string>

#include "src/base/unique_fd.h"
#include "src/copy/tar_writer.h"

namespace berth {

struct ArchiveLimits {
  int64_t entries = 4'000'000;
  size_t depth = 1024;
};

class TreeArchiver {
 public:
  explicit TreeArchiver(TarWriter& out, const ArchiveLimits& limits = {})
      : out_(out), limits_(limits) {}

  // `node` (O_PATH | O_NOFOLLOW) under the name `name`, with all below it; "." for a directory's
  // contents. Sockets are left out, and so is what the kernel shows below proc, sysfs and cgroup
  // mounts inside of the tree. Needs /proc. Errors name the file.
  absl::Status Add(UniqueFd node, const std::string& name);

 private:
  absl::Status AddNode(UniqueFd node, const struct stat& st, const std::string& name, size_t depth);
  absl::Status AddDirectory(UniqueFd node, const struct stat& st, const std::string& name,
                            size_t depth);
  absl::Status AddChildren(UniqueFd directory, const std::string& name, size_t depth);
  absl::Status AddFile(const UniqueFd& node, TarEntry entry);
  absl::Status AddLinkToKnown(const struct stat& st, TarEntry& entry, bool* known);

  TarWriter& out_;
  const ArchiveLimits limits_;
  int64_t entries_ = 0;
  std::map<std::pair<dev_t, ino_t>, std::string> linked_;  // files of several names: the first
};

}  // namespace berth
