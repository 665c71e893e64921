#include "src/image/image_store.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "src/base/failpoint.h"
#include "src/base/status_macros.h"
#include "src/image/digest.h"
#include "src/image/local_image_store.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

bool IsPinned(const Image& image, const std::vector<std::string>& patterns) {
  const auto matches = [&](const std::string& name) {
    return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
      return ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
    });
  };
  return std::any_of(image.repo_tags.begin(), image.repo_tags.end(), matches) ||
         std::any_of(image.repo_digests.begin(), image.repo_digests.end(), matches);
}

}  // namespace

absl::Status LocalImageStore::OpenDirectories() {
  const std::string& data = options_.data_dir;
  for (const char* name : {"/layers", "/trees", "/blobs", "/pull", "/trash"})
    RETURN_IF_ERROR(MakeDirs(data + name, 0700));
  ASSIGN_OR_RETURN(data_dir_, OpenDir(AT_FDCWD, data));
  ASSIGN_OR_RETURN(layers_dir_, OpenDir(data_dir_.get(), "layers"));
  ASSIGN_OR_RETURN(trees_dir_, OpenDir(data_dir_.get(), "trees"));
  ASSIGN_OR_RETURN(blobs_dir_, OpenDir(data_dir_.get(), "blobs"));
  ASSIGN_OR_RETURN(pull_dir_, OpenDir(data_dir_.get(), "pull"));
  ASSIGN_OR_RETURN(UniqueFd trash, OpenDir(data_dir_.get(), "trash"));
  for (const int fd :
       {layers_dir_.get(), trees_dir_.get(), blobs_dir_.get(), pull_dir_.get(), trash.get()}) {
    if (::fchmod(fd, 0700) != 0) return ErrnoStatus("chmod", data);
  }
  ASSIGN_OR_RETURN(trash_, Trash::Open(std::move(trash), options_.log));
  return absl::OkStatus();
}

// Of a database that was lost, and so what its layers went through since.
absl::Status LocalImageStore::RebuildRows() {
  absl::MutexLock lock(&write_mu_);
  ASSIGN_OR_RETURN(catalog_, ImageCatalog::Open(options_.data_dir));
  if (!database_.created()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const int images, catalog_->Rebuild(database_));
  if (images == 0) return absl::OkStatus();
  Warn("images rebuilt from disk", {{"count", images}});
  return UncleanStop::MarkUnverified(database_);
}

absl::Status LocalImageStore::Start() {
  RETURN_IF_ERROR(OpenDirectories());
  RETURN_IF_ERROR(RebuildRows());
  RETURN_IF_ERROR(Reconcile());
  {
    absl::MutexLock lock(&write_mu_);
    RETURN_IF_ERROR(Reload());
    RETURN_IF_ERROR(ThrowUnusedBlobs());
  }
  RETURN_IF_ERROR(Sweep());
  kept_.emplace(options_.keep_partial,
                [this](const std::vector<int64_t>& layers) { Unpin(layers); });
  ASSIGN_OR_RETURN(const std::string boot_id,
                   ReadFileAt(AT_FDCWD, "/proc/sys/kernel/random/boot_id"));
  ASSIGN_OR_RETURN(unclean_stop_,
                   UncleanStop::Begin(database_, std::string(absl::StripAsciiWhitespace(boot_id))));
  if (unclean_stop_->verification_due()) checker_ = std::thread([this] { CheckLayers(); });
  return absl::OkStatus();
}

LocalImageStore::~LocalImageStore() {
  stopping_ = true;
  if (checker_.joinable()) checker_.join();
  if (!unclean_stop_.has_value()) return;
  if (absl::Status ended = unclean_stop_->End(database_); !ended.ok())
    Warn("the end of the image store is not noted", {{"error", std::string(ended.message())}});
}

// Brings rows and directories together after an end that nobody saw.
absl::Status LocalImageStore::Reconcile() {
  ASSIGN_OR_RETURN(const std::vector<std::string> unfinished, ListDir(pull_dir_.get(), "."));
  for (const std::string& name : unfinished) RETURN_IF_ERROR(trash_->Throw(pull_dir_.get(), name));
  std::set<int64_t> rows;
  RETURN_IF_ERROR(database_.Read([&](Database::Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(const std::vector<LayerRow> layers, ReadLayerRows(transaction));
    for (const LayerRow& layer : layers) rows.insert(layer.number);
    return absl::OkStatus();
  }));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDir(layers_dir_.get(), "."));
  std::set<int64_t> present;
  absl::MutexLock lock(&write_mu_);
  for (const std::string& name : names) {
    int64_t number = 0;
    const bool known =
        absl::SimpleAtoi(name, &number) && absl::StrCat(number) == name && rows.count(number) > 0;
    next_layer_ = std::max(next_layer_, number + 1);
    if (known) {
      present.insert(number);
    } else {
      RETURN_IF_ERROR(trash_->Throw(layers_dir_.get(), name));
    }
  }
  if (!rows.empty()) next_layer_ = std::max(next_layer_, *rows.rbegin() + 1);
  ASSIGN_OR_RETURN(const std::vector<std::string> trees, ListDir(trees_dir_.get(), "."));
  for (const std::string& name : trees) {
    int64_t number = 0;
    if (!absl::SimpleAtoi(name, &number) || present.count(number) == 0)
      RETURN_IF_ERROR(trash_->Throw(trees_dir_.get(), name));
  }
  return DropImagesWithout(present);
}

absl::Status LocalImageStore::DropImagesWithout(const std::set<int64_t>& present) {
  const auto is_missing = [&](int64_t layer) { return present.count(layer) == 0; };
  return database_.Write(
      Durability::kPowerLoss, [&](Database::Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(const std::vector<ImageRow> images, ReadImageRows(transaction));
        for (const ImageRow& image : images) {
          const auto missing = std::find_if(image.layers.begin(), image.layers.end(), is_missing);
          if (missing == image.layers.end()) continue;
          Warn("image dropped: a layer's directory is missing",
               {{"image", image.id}, {"layer", LayerPath(*missing)}});
          RETURN_IF_ERROR(DeleteImageRow(transaction, image.id));
        }
        ASSIGN_OR_RETURN(const std::vector<LayerRow> layers, ReadLayerRows(transaction));
        for (const LayerRow& layer : layers) {
          if (is_missing(layer.number)) RETURN_IF_ERROR(DeleteLayerRow(transaction, layer.number));
        }
        return absl::OkStatus();
      });
}

absl::Status LocalImageStore::Reload() {
  std::vector<LayerRow> layers;
  std::vector<ImageRow> images;
  RETURN_IF_ERROR(database_.Read([&](Database::Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(layers, ReadLayerRows(transaction));
    ASSIGN_OR_RETURN(images, ReadImageRows(transaction));
    return absl::OkStatus();
  }));
  std::vector<std::string> unreadable;
  auto next = std::make_shared<ImageSnapshot>(MakeSnapshot(layers, images, unreadable));
  for (const std::string& id : unreadable) {
    Warn("image not listed: its config cannot be read", {{"image", id}});
  }
  if (options_.keep_blobs) {
    for (const LayerRow& layer : layers) next->usage.used_bytes += layer.blob_bytes;
  }
  for (auto& [id, image] : next->images) image.pinned = IsPinned(image, options_.pinned);
  if (const absl::Status followed = catalog_->Follow(layers, images); !followed.ok())
    Warn("images could not be rebuilt from disk", {{"error", std::string(followed.message())}});
  layers_.Replace(layers, images);
  absl::MutexLock lock(&mu_);
  snapshot_ = std::move(next);
  return absl::OkStatus();
}

std::vector<Image> LocalImageStore::List() const {
  const SnapshotPtr now = snapshot();
  std::vector<Image> images;
  images.reserve(now->images.size());
  for (const auto& [id, image] : now->images) images.push_back(image);
  return images;
}

absl::StatusOr<std::pair<Image, ImageLease>> LocalImageStore::Lease(absl::string_view reference) {
  // Sweep picks its victims under the table's lock and only among layers of no image, so layers
  // pinned from a snapshot that still had the image are safe, and Pin says so if they were not.
  while (true) {
    const SnapshotPtr now = snapshot();
    ASSIGN_OR_RETURN(Image image, FindImage(*now, reference));
    const std::vector<int64_t> layers = now->layer_numbers.at(image.id);
    if (!layers_.Pin(layers)) continue;  // removed since: the next snapshot knows
    return std::pair<Image, ImageLease>(std::move(image),
                                        ImageLease([this, layers] { Unpin(layers); }));
  }
}

void LocalImageStore::Unpin(const std::vector<int64_t>& layers) {
  if (layers_.Unpin(layers)) SweepLater();
}

void LocalImageStore::SweepLater() {
  trash_->Run([this] { return Sweep(); });
}

void LocalImageStore::Throw(int directory, const std::string& name) {
  const absl::Status thrown = trash_->Throw(directory, name);
  if (thrown.ok()) return;
  Warn("not thrown away yet", {{"name", name}, {"error", std::string(thrown.message())}});
  trash_->Run([this, directory, name] { return trash_->Throw(directory, name); });
}

void LocalImageStore::ThrowLayer(int64_t number) {
  const std::string name = absl::StrCat(number);
  Throw(layers_dir_.get(), name);
  Throw(trees_dir_.get(), name);
}

absl::Status LocalImageStore::ThrowUnusedBlobs() {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDir(blobs_dir_.get(), "."));
  if (names.empty()) return absl::OkStatus();
  std::set<std::string> used;
  for (const std::string& digest : layers_.BlobDigests())
    used.insert(digest.substr(digest.find(':') + 1));
  for (const std::string& name : names) {
    if (used.count(name) == 0) RETURN_IF_ERROR(trash_->Throw(blobs_dir_.get(), name));
  }
  return absl::OkStatus();
}

absl::Status LocalImageStore::Sweep() {
  absl::MutexLock lock(&write_mu_);
  const std::vector<int64_t> unused = layers_.TakeUnused();
  if (unused.empty()) return absl::OkStatus();
  absl::Status deleted = database_.Write(Durability::kPowerLoss,
                                         [&](Database::Transaction& transaction) -> absl::Status {
                                           RETURN_IF_FAULT("remove_image.layers");
                                           for (const int64_t number : unused)
                                             RETURN_IF_ERROR(DeleteLayerRow(transaction, number));
                                           return absl::OkStatus();
                                         });
  if (deleted.ok()) {
    for (const int64_t number : unused) ThrowLayer(number);
  }
  RETURN_IF_ERROR(Reload());
  RETURN_IF_ERROR(ThrowUnusedBlobs());
  return deleted;
}

absl::StatusOr<ImageDetails> LocalImageStore::Inspect(absl::string_view reference) const {
  const SnapshotPtr now = snapshot();
  ASSIGN_OR_RETURN(Image image, FindImage(*now, reference));
  std::vector<ImageRow> rows;
  RETURN_IF_ERROR(database_.Read([&](Database::Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(rows, ReadImageRows(transaction));
    return absl::OkStatus();
  }));
  const auto row = std::find_if(rows.begin(), rows.end(),
                                [&](const ImageRow& one) { return one.id == image.id; });
  if (row == rows.end())
    return absl::NotFoundError(absl::StrCat("inspect ", image.id, ": removed meanwhile"));
  ImageDetails details{.image = std::move(image),
                       .pulled_at = row->pulled_at,
                       .config = std::move(row->config),
                       .manifest = std::move(row->manifest),
                       .manifest_media_type = std::move(row->manifest_type)};
  if (!details.manifest.empty()) details.manifest_digest = Digest::Sha256(details.manifest).text();
  for (const int64_t number : now->layer_numbers.at(row->id)) {
    const SnapshotLayer& layer = now->layers.at(number);
    details.layers.push_back({.diff_id = layer.diff_id,
                              .blob_digest = layer.row.blob_digest,
                              .blob_bytes = layer.row.blob_bytes,
                              .size_bytes = layer.row.size_bytes,
                              .inodes = layer.row.inodes,
                              .directory = LayerPath(number),
                              .images = static_cast<int>(layer.images.size()),
                              .damaged = IsDamaged(layer.row)});
  }
  return details;
}

absl::Status LocalImageStore::Tag(absl::string_view reference, absl::string_view name) {
  ASSIGN_OR_RETURN(const Reference tag, ParseReference(name));
  if (!tag.digest.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("tag ", tag.Name(), ": a digest is not a name to give"));
  }
  absl::MutexLock lock(&write_mu_);
  ASSIGN_OR_RETURN(const Image image, Find(reference));
  RETURN_IF_ERROR(database_.Write(Durability::kPowerLoss, [&](Database::Transaction& transaction) {
    return PutImageName(transaction, tag.Name(), image.id);
  }));
  return Reload();
}

absl::Status LocalImageStore::Untag(absl::string_view name) {
  ASSIGN_OR_RETURN(const Reference reference, ParseReference(name));
  absl::MutexLock lock(&write_mu_);
  if (snapshot()->names.count(reference.Name()) == 0)
    return absl::NotFoundError(absl::StrCat("untag ", reference.Name(), ": no image has it"));
  RETURN_IF_ERROR(database_.Write(Durability::kPowerLoss, [&](Database::Transaction& transaction) {
    return DeleteImageName(transaction, reference.Name());
  }));
  return Reload();
}

absl::Status LocalImageStore::Remove(absl::string_view reference,
                                     absl::FunctionRef<bool(absl::string_view id)> in_use) {
  const absl::StatusOr<Image> image = Find(reference);
  if (absl::IsNotFound(image.status())) return absl::OkStatus();
  if (!image.ok()) return image.status();
  if (in_use(image->id)) {
    return absl::FailedPreconditionError(
        absl::StrCat("remove image ", image->id, ": a container uses it"));
  }
  {
    absl::MutexLock lock(&write_mu_);
    RETURN_IF_ERROR(
        database_.Write(Durability::kPowerLoss, [&](Database::Transaction& transaction) {
          RETURN_IF_FAULT("remove_image.record");
          return DeleteImageRow(transaction, image->id);
        }));
    RETURN_IF_ERROR(Reload());
  }
  // The image is gone; nobody would ask for it again to have its layers swept.
  if (absl::Status swept = Sweep(); !swept.ok()) {
    Warn("unused layers not removed yet", {{"error", std::string(swept.message())}});
    SweepLater();
  }
  return absl::OkStatus();
}

const char* VerdictName(LayerState::Verdict verdict) {
  switch (verdict) {
    case LayerState::Verdict::kOk:
      return "ok";
    case LayerState::Verdict::kDamaged:
      return "damaged";
    case LayerState::Verdict::kRepaired:
      return "repaired";
    case LayerState::Verdict::kUnknown:
      return "unknown";
  }
  return "";
}

absl::StatusOr<std::unique_ptr<ImageStore>> ImageStore::Open(Options options, Database& database) {
  auto store = std::make_unique<LocalImageStore>(std::move(options), database);
  RETURN_IF_ERROR(store->Start());
  return std::unique_ptr<ImageStore>(std::move(store));
}

}  // namespace berth
