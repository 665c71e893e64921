// Compares an unpacked layer with its tree: whether all that was written is still there, as it was.
#pragma once

#include "absl/status/statusor.h"
#include "src/image/pull_protocol.h"

namespace berth {

inline constexpr size_t kMaxToldDifferences = 16;

// `layer` is the directory, `tree_fd` the file beside it; both are borrowed and only read. A layer
// that differs, or that cannot be read for damage, is no error; DataLoss if the tree itself is
// damaged.
absl::StatusOr<LayerVerification> VerifyLayer(int layer, int tree_fd);

}  // namespace berth
