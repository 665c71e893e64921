// Fits a layer to the layers below it. Layers are unpacked independently of each other; what an
// archive takes for granted (layer_needs.h) is looked up here, as one who unpacks the archives one
// over the other would have found it:
//   - a directory that the archive left out has the owner, mode and time that it has below
//   - if it is a symbolic link below, the entries belong where that leads
//   - a hard link to a file below is a copy of it, under both names
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "src/image/pull/layer_needs.h"

namespace berth {

// `layer` is the directory as it was unpacked; `below` are the layers under it, lowest first, with
// none that an opaque root hides. All are borrowed. InvalidArgument names a link to what is
// nowhere, or two entries that come to lie in one place.
absl::Status Adopt(int layer, const LayerNeeds& needs, const std::vector<int>& below);

}  // namespace berth
