// The file of a container that a copy is about: resolved once, inside of the root, to descriptors.
#pragma once

#include <sys/stat.h>

#include <string>

#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"
#include "src/copy/copy_rules.h"

namespace berth {

struct CopyTarget {
  UniqueFd parent;   // the directory that holds it; invalid for the root
  std::string name;  // in `parent`, as links on the way have led there; "" for the root
  UniqueFd node;     // O_PATH; invalid: there is none
  struct stat st = {};
  bool is_root = false;
};

enum class LastLink { kFollow, kKeep };

// `path` is absolute; `root` is the root of all links on the way, which the container may be
// changing. NotFound: a directory on the way is missing (a missing last component is none).
absl::StatusOr<CopyTarget> ResolveInRoot(int root, const std::string& path, LastLink last);

}  // namespace berth
