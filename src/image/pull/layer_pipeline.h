// One layer's way from compressed bytes to files, in one pass through the cache: count, hash,
// decompress, hash, tar, unpack, with its tree and, where wanted, its blob beside it. Nothing is
// trusted before Finish has compared both digests. One owner thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/unique_fd.h"
#include "src/image/digest.h"
#include "src/image/manifest.h"
#include "src/image/pull/decompress.h"
#include "src/image/pull/layer_needs.h"
#include "src/image/pull/layer_tree.h"
#include "src/image/pull/tar.h"
#include "src/image/pull/unpack.h"

namespace berth {

// Where a layer goes: `<name>`, `<name>.tree` and perhaps `<name>.blob` in the work directory.
struct LayerFiles {
  int work = -1;  // borrowed
  std::string name;
  bool keep_blob = false;
  WindowBudget* windows = nullptr;  // borrowed; that of the whole pull
};

struct UnpackedLayer {
  UnpackStats stats;
  LayerNeeds needs;          // not empty: AdoptLayer comes next, and the layer is bound (its key)
  bool opaque_root = false;  // hides all layers below
};

class LayerPipeline {
 public:
  // Makes the directory and the files; none of them may exist.
  static absl::StatusOr<std::unique_ptr<LayerPipeline>> Create(const LayerFiles& files,
                                                               const Descriptor& blob,
                                                               const Digest& diff_id);

  // Errors of all stages; DataLoss as soon as more bytes come than the manifest said.
  absl::Status Feed(absl::string_view compressed);

  // DataLoss if size, digest or diff_id is not the expected one: what was written is then
  // worthless.
  absl::StatusOr<UnpackedLayer> Finish();

  int64_t received_bytes() const { return received_bytes_; }

 private:
  struct Opened {
    UniqueFd directory, tree, blob;
  };
  LayerPipeline(Opened opened, WindowBudget& windows, const Descriptor& blob,
                const Digest& diff_id);

  absl::Status TakePlain(absl::string_view bytes);
  absl::Status KeepBlob(absl::string_view compressed);

  const Opened opened_;
  const Descriptor blob_;
  const Digest diff_id_;
  int64_t received_bytes_ = 0;
  Hasher blob_hasher_, diff_hasher_;
  Decompressor decompressor_;
  LayerTreeWriter tree_;
  Unpacker unpacker_;
  TarReader tar_;
};

// Fits an unpacked layer to the layers below it (adopt.h) and writes its tree anew. Returns what it
// takes now. `below`: lowest first, none that an opaque root hides.
absl::StatusOr<UnpackStats> AdoptLayer(const LayerFiles& files, const LayerNeeds& needs,
                                       const std::vector<int>& below);

}  // namespace berth
