// Names inside of a layer: split, checked, and opened without ever leaving the layer's directory.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "src/base/unique_fd.h"

namespace berth {

struct PathLimits {
  size_t depth = 1024;  // of directories
  size_t path_bytes = 4096, name_bytes = 255;
};

// "/a//./b/" -> {"a", "b"}, views into `path`. InvalidArgument for ".." (it is not resolved),
// ResourceExhausted beyond the limits.
absl::StatusOr<std::vector<absl::string_view>> SplitLayerPath(absl::string_view path,
                                                              const PathLimits& limits);

// The first `count` components, joined by "/".
std::string JoinLayerPath(absl::Span<const absl::string_view> components, size_t count);

// O_PATH on a directory, with `root` as the root of all symbolic links on the way (openat2
// RESOLVE_IN_ROOT). "" is the root.
enum class Links { kFollow, kRefuse };
absl::StatusOr<UniqueFd> OpenLayerDir(int root, const std::string& path,
                                      Links links = Links::kFollow);

// InvalidArgument and ResourceExhausted "unpack <path>: <why>", and ErrnoStatus, with the foreign
// path made printable.
absl::Status RefuseEntry(absl::string_view path, absl::string_view why);
absl::Status TooMuch(absl::string_view path, absl::string_view why);
absl::Status EntryError(absl::string_view call, absl::string_view path);

}  // namespace berth
