// Finds a name in a stack of layer directories by the rules of overlayfs: the topmost layer that
// knows the name decides, whiteouts and opaque directories hide what is below. Nothing is mounted
// and no symbolic link is followed.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/unique_fd.h"

namespace berth {

struct LayerEntry {
  enum class Kind { kAbsent, kPresent, kBehindSymlink };
  Kind kind = Kind::kAbsent;
  // Set if kPresent: the directory that holds the entry, its name there, and what it is (of the
  // link itself).
  UniqueFd parent;
  std::string name;
  struct stat st = {};
};

// `layers` are directories, lowest first, borrowed. `path` is relative to their roots and not
// empty.
absl::StatusOr<LayerEntry> FindInLayers(const std::vector<int>& layers, absl::string_view path);

// overlayfs's mark of a deleted name.
bool IsWhiteoutNode(const struct stat& st);

}  // namespace berth
