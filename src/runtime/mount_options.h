// The options of a mount in a config.json or a CDI specification (config.md of the OCI runtime
// specification, "Linux mount options"), sorted by what they change. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/runtime/spec.h"

namespace berth {

enum class BindOption { kNone, kPlain, kRecursive };

struct MountOptions {
  uint64_t attributes = 0;  // MOUNT_ATTR_*
  bool recursive = false;   // the attributes are for the mounts below, too
  Propagation propagation = Propagation::kPrivate;
  BindOption bind = BindOption::kNone;
  bool idmapped = false;
  std::vector<std::string> data;  // the file system's own
};

// The last one of contrary options wins. Unimplemented names one that is not supported.
absl::StatusOr<MountOptions> ParseMountOptions(const std::vector<std::string>& options);

// Names of all that are understood, for `features`.
std::vector<std::string> MountOptionNames();

}  // namespace berth
