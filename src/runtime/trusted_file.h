// Files of the node that make root run programs or open devices (hooks, their configuration, CDI
// specs): only those count that nobody but root could have written.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace berth {

// Reads a regular file of at most `max_bytes`. FailedPrecondition if it, or a directory above it,
// belongs to another user than root (or the caller's own), or may be written by group or others;
// a directory with the sticky bit may.
absl::StatusOr<std::string> ReadTrustedFile(const std::string& path, size_t max_bytes);

// The same checks of an executable, which is not read.
absl::Status CheckTrustedExecutable(const std::string& path);

}  // namespace berth
