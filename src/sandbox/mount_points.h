// The lowest layer of every container's root: empty directories and files where the standard mounts
// (src/runtime/standard_mounts.h) go that an image need not have. Without it each start would make
// up to seven inodes in the writable layer. What an image has at these places, also nothing (a
// whiteout), is above it and wins.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace berth {

inline constexpr char kMountPoints[] = "mount-points";  // relative to the data directory

// Completes them.
absl::Status MakeMountPoints(const std::string& data_dir);

}  // namespace berth
