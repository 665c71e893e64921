// One layer's way from compressed bytes to files, in one pass through the cache: count, hash,
// decompress, hash, tar, unpack. Nothing is trusted before Finish has compared both digests. One
// owner thread.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/image/digest.h"
#include "src/image/manifest.h"
#include "src/image/pull/decompress.h"
#include "src/image/pull/tar.h"
#include "src/image/pull/unpack.h"

namespace berth {

class LayerPipeline {
 public:
  // `directory_fd` is an empty directory, borrowed.
  LayerPipeline(int directory_fd, const Descriptor& blob, const Digest& diff_id);

  // Errors of all stages; DataLoss as soon as more bytes come than the manifest said.
  absl::Status Feed(absl::string_view compressed);

  // DataLoss if size, digest or diff_id is not the expected one: the directory is then worthless.
  absl::StatusOr<UnpackStats> Finish();

  int64_t received_bytes() const { return received_bytes_; }
  const std::vector<std::string>& implied_directories() const {
    return unpacker_.implied_directories();
  }

 private:
  absl::Status TakePlain(absl::string_view bytes);

  const Descriptor blob_;
  const Digest diff_id_;
  int64_t received_bytes_ = 0;
  Hasher blob_hasher_, diff_hasher_;
  Decompressor decompressor_;
  Unpacker unpacker_;
  TarReader tar_;
};

}  // namespace berth
