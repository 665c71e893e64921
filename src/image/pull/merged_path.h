// Follows symbolic links in a stack of layers as a program in a container above them would.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth {

// The path, free of links, that `path` means if read in the directory `from` ("" is the root, and
// never left). What is not there is taken as it is written. `layers` are directories, lowest first.
// InvalidArgument for more than 40 links.
absl::StatusOr<std::string> ResolveInLayers(const std::vector<int>& layers, absl::string_view from,
                                            absl::string_view path);

}  // namespace berth
