#include "src/image/pull/layer_pipeline.h"

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace berth {

LayerPipeline::LayerPipeline(int directory_fd, const Descriptor& blob, const Digest& diff_id)
    : blob_(blob),
      diff_id_(diff_id),
      blob_hasher_(blob.digest.algorithm()),
      diff_hasher_(diff_id.algorithm()),
      unpacker_(directory_fd),
      tar_(unpacker_) {}

absl::Status LayerPipeline::TakePlain(absl::string_view bytes) {
  diff_hasher_.Update(bytes);
  return tar_.Feed(bytes);
}

absl::Status LayerPipeline::Feed(absl::string_view compressed) {
  received_bytes_ += static_cast<int64_t>(compressed.size());
  if (received_bytes_ > blob_.size) {
    return absl::DataLossError(
        absl::StrCat("blob is longer than the ", blob_.size, " bytes of the manifest"));
  }
  blob_hasher_.Update(compressed);
  return decompressor_.Feed(compressed,
                            [this](absl::string_view plain) { return TakePlain(plain); });
}

absl::StatusOr<UnpackStats> LayerPipeline::Finish() {
  if (received_bytes_ != blob_.size) {
    return absl::DataLossError(
        absl::StrCat("blob has ", received_bytes_, " bytes, the manifest says ", blob_.size));
  }
  // The digest comes first: where it is wrong, what the later stages complain about explains
  // nothing.
  if (const Digest digest = blob_hasher_.Finish(); digest != blob_.digest) {
    return absl::DataLossError(absl::StrCat("blob has digest ", digest.text()));
  }
  RETURN_IF_ERROR(
      decompressor_.Finish([this](absl::string_view plain) { return TakePlain(plain); }));
  RETURN_IF_ERROR(tar_.Finish());
  if (const Digest diff_id = diff_hasher_.Finish(); diff_id != diff_id_) {
    return absl::DataLossError(absl::StrCat("content has diff_id ", diff_id.text(),
                                            ", the image config says ", diff_id_.text()));
  }
  return unpacker_.Finish();
}

}  // namespace berth
