// What lies in an unpacked layer, read from its directory: to write its tree, and to compare it
// with one. Reads every byte of every file.
#pragma once

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/image/pull/layer_tree.h"
#include "src/image/pull/unpack.h"

namespace berth {

// Calls `take` once for each name in `layer`, the root "" first, directories before what they hold.
// A file with several names is told once with its content, then as hard links to that name. If an
// entry could not be read, `damage` says why and the entry holds what could be; an error of `take`
// ends the walk. Names of one directory come in byte order.
absl::Status WalkLayer(
    int layer,
    absl::FunctionRef<absl::Status(const TreeEntry& entry, const absl::Status& damage)> take);

// Writes the tree of `layer` into `tree_fd`, replacing its content, and counts. Both are borrowed.
absl::StatusOr<UnpackStats> WriteTreeOf(int layer, int tree_fd);

}  // namespace berth
