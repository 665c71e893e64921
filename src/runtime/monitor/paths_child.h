// Paths inside a container's root, always by fd: nothing resolves outside of the root (openat2,
// RESOLVE_IN_ROOT) and nothing is resolved twice.
#pragma once

#include <string_view>

#include "src/runtime/launch_plan_wire.h"

namespace berth::monitor {

enum class Links { kFollowInRoot, kRefuse };

// O_PATH fd of `path` below `root` (an fd, or AT_FDCWD for "/"), or -1.
int OpenInRoot(int root, const char* path, Links links);

// The same; what is missing is made: directories 0755, and an empty file 0644 at the end for kFile.
int OpenOrMakeInRoot(int root, std::string_view path, wire::PathKind kind, Links links);

// O_PATH fd of the directory that holds the last component of `path`, made if missing; `name`
// becomes that component.
int OpenParentInRoot(int root, std::string_view path, const char** name, char* buffer,
                     unsigned buffer_bytes);

}  // namespace berth::monitor
