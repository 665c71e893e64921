#include "src/image/pull/layer_pipeline.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/failpoint.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/image/pull/adopt.h"
#include "src/image/pull/layer_walk.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr int kNewFile = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;

}  // namespace

absl::StatusOr<std::unique_ptr<LayerPipeline>> LayerPipeline::Create(const LayerFiles& files,
                                                                     const Descriptor& blob,
                                                                     const Digest& diff_id) {
  if (FAULT("pull_worker.layer") || ::mkdirat(files.work, files.name.c_str(), 0755) != 0)
    return ErrnoStatus("mkdir", files.name);
  Opened opened;
  ASSIGN_OR_RETURN(opened.directory,
                   OpenFile(files.work, files.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  ASSIGN_OR_RETURN(opened.tree,
                   OpenFile(files.work, absl::StrCat(files.name, ".tree"), kNewFile, 0600));
  if (files.keep_blob) {
    ASSIGN_OR_RETURN(opened.blob,
                     OpenFile(files.work, absl::StrCat(files.name, ".blob"), kNewFile, 0600));
  }
  return std::unique_ptr<LayerPipeline>(
      new LayerPipeline(std::move(opened), *files.windows, blob, diff_id));
}

LayerPipeline::LayerPipeline(Opened opened, WindowBudget& windows, const Descriptor& blob,
                             const Digest& diff_id)
    : opened_(std::move(opened)),
      blob_(blob),
      diff_id_(diff_id),
      blob_hasher_(blob.digest.algorithm()),
      diff_hasher_(diff_id.algorithm()),
      decompressor_(windows),
      tree_(opened_.tree.get()),
      unpacker_(opened_.directory.get(), &tree_),
      tar_(unpacker_) {}

absl::Status LayerPipeline::TakePlain(absl::string_view bytes) {
  diff_hasher_.Update(bytes);
  return tar_.Feed(bytes);
}

absl::Status LayerPipeline::KeepBlob(absl::string_view compressed) {
  while (!compressed.empty()) {
    const ssize_t n = ::write(opened_.blob.get(), compressed.data(), compressed.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("write", "the blob of the layer");
    compressed.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status LayerPipeline::Feed(absl::string_view compressed) {
  received_bytes_ += static_cast<int64_t>(compressed.size());
  if (received_bytes_ > blob_.size) {
    return absl::DataLossError(
        absl::StrCat("blob is longer than the ", blob_.size, " bytes of the manifest"));
  }
  blob_hasher_.Update(compressed);
  if (opened_.blob.valid()) RETURN_IF_ERROR(KeepBlob(compressed));
  const absl::Status status =
      decompressor_.Feed(compressed, [this](absl::string_view plain) { return TakePlain(plain); });
  // A bomb is to be found by the entry that it was in.
  if (absl::IsResourceExhausted(status) && decompressor_.over_limit())
    return Annotate(status, EscapeForLog(tar_.current_path().substr(0, 512)));
  return status;
}

absl::StatusOr<UnpackedLayer> LayerPipeline::Finish() {
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
  RETURN_IF_FAULT("pull_worker.finish");
  ASSIGN_OR_RETURN(const UnpackStats stats, unpacker_.Finish());
  UnpackedLayer layer{
      .stats = stats, .needs = unpacker_.needs(), .opaque_root = unpacker_.opaque_root()};
  // A layer with needs gets its tree when they are met.
  if (!layer.needs.empty()) return layer;
  if (unpacker_.tree_is_good()) {
    RETURN_IF_ERROR(tree_.Finish());
    return layer;
  }
  ASSIGN_OR_RETURN(layer.stats, WriteTreeOf(opened_.directory.get(), opened_.tree.get()));
  return layer;
}

absl::StatusOr<UnpackStats> AdoptLayer(const LayerFiles& files, const LayerNeeds& needs,
                                       const std::vector<int>& below) {
  ASSIGN_OR_RETURN(const UniqueFd directory,
                   OpenFile(files.work, files.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  RETURN_IF_ERROR(Adopt(directory.get(), needs, below));
  ASSIGN_OR_RETURN(const UniqueFd tree,
                   OpenFile(files.work, absl::StrCat(files.name, ".tree"), O_RDWR | O_NOFOLLOW));
  return WriteTreeOf(directory.get(), tree.get());
}

}  // namespace berth
