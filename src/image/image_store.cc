#include "src/image/image_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <set>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "src/base/id.h"
#include "src/base/status_macros.h"
#include "src/base/undo.h"
#include "src/image/flights.h"
#include "src/image/image_rows.h"
#include "src/image/image_snapshot.h"
#include "src/image/layer_table.h"
#include "src/image/pull_process.h"
#include "src/image/reference.h"
#include "src/image/registry_auth.h"
#include "src/image/registry_credentials.h"
#include "src/image/registry_hosts.h"
#include "src/image/trash.h"
#include "src/image/unclean_stop.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

using SnapshotPtr = std::shared_ptr<const ImageSnapshot>;

std::string FlightKey(const Reference& reference, const RegistryAuth& auth) {
  const absl::string_view end("\0", 1);
  return absl::StrCat(reference.Name(), end, auth.username, end, auth.password, end,
                      auth.identity_token, end, auth.registry_token) +
         absl::StrCat(end, auth.server_address);
}

class Store : public ImageStore {
 public:
  Store(Options options, Database& database) : options_(std::move(options)), database_(database) {}
  ~Store() override;

  absl::Status Start();

  absl::StatusOr<std::string> Pull(const PullRequest& request) override;
  absl::StatusOr<Image> Find(absl::string_view reference) const override {
    return FindImage(*snapshot(), reference);
  }
  std::vector<Image> List() const override;
  absl::StatusOr<std::pair<Image, ImageLease>> Lease(absl::string_view reference) override;
  absl::Status Remove(absl::string_view reference,
                      absl::FunctionRef<bool(absl::string_view id)> in_use) override;
  Usage DiskUsage() const override { return snapshot()->usage; }

 private:
  SnapshotPtr snapshot() const {
    absl::MutexLock lock(&mu_);
    return snapshot_;
  }

  absl::Status OpenDirectories();
  absl::Status Reconcile();
  absl::Status DropImagesWithout(const std::set<int64_t>& present);
  absl::Status Reload() ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mu_);
  void CheckLayers();
  absl::StatusOr<std::set<int64_t>> FindDamagedLayers(const std::vector<LayerRow>& layers);
  absl::StatusOr<LayerVerification> VerifyLayer(const LayerRow& layer);
  absl::Status MarkDamaged(const LayerRow& layer, const LayerVerification& found)
      ABSL_LOCKS_EXCLUDED(write_mu_);
  absl::Status RepairImagesWith(const std::set<int64_t>& damaged);
  void ThrowLayer(int64_t number);
  absl::Status Sweep() ABSL_LOCKS_EXCLUDED(write_mu_);
  void SweepLater();

  absl::StatusOr<std::string> PullAlone(const Reference& reference, const PullRequest& request,
                                        const std::function<void(const PullProgress&)>& progress);
  absl::StatusOr<std::vector<RegistryEndpoint>> EndpointsFor(const Reference& reference,
                                                             const PullRequest& request) const;
  absl::Status Commit(const Reference& reference, const PulledImage& pulled, int work_dir)
      ABSL_LOCKS_EXCLUDED(write_mu_);
  absl::StatusOr<std::vector<LayerRow>> PlaceLayers(const PulledImage& pulled, int work_dir,
                                                    std::vector<int64_t>& numbers)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mu_);
  void Unpin(const std::vector<int64_t>& layers);

  void Warn(absl::string_view message, std::initializer_list<LogField> fields) const {
    if (options_.log != nullptr) options_.log->Warning(message, fields);
  }

  const Options options_;
  Database& database_;
  UniqueFd data_dir_, layers_dir_, trees_dir_, pull_dir_;
  Flights flights_;
  LayerTable layers_;
  absl::Mutex write_mu_;  // one change of rows and directories at a time; held over I/O, never
                          // taken by readers
  int64_t next_layer_ ABSL_GUARDED_BY(write_mu_) = 1;
  mutable absl::Mutex mu_;
  SnapshotPtr snapshot_ ABSL_GUARDED_BY(mu_) = std::make_shared<ImageSnapshot>();
  std::unique_ptr<Trash> trash_;  // after the above: its threads use them
  std::optional<UncleanStop> unclean_stop_;
  std::atomic<bool> stopping_ = false;
  std::thread checker_;  // of the layers, after an unclean stop
};

absl::Status Store::OpenDirectories() {
  const std::string& data = options_.data_dir;
  for (const char* name : {"/layers", "/trees", "/pull", "/trash"})
    RETURN_IF_ERROR(MakeDirs(data + name, 0700));
  ASSIGN_OR_RETURN(data_dir_, OpenDir(AT_FDCWD, data));
  ASSIGN_OR_RETURN(layers_dir_, OpenDir(data_dir_.get(), "layers"));
  ASSIGN_OR_RETURN(trees_dir_, OpenDir(data_dir_.get(), "trees"));
  ASSIGN_OR_RETURN(pull_dir_, OpenDir(data_dir_.get(), "pull"));
  ASSIGN_OR_RETURN(UniqueFd trash, OpenDir(data_dir_.get(), "trash"));
  for (const int fd : {layers_dir_.get(), trees_dir_.get(), pull_dir_.get(), trash.get()}) {
    if (::fchmod(fd, 0700) != 0) return ErrnoStatus("chmod", data);
  }
  ASSIGN_OR_RETURN(trash_, Trash::Open(std::move(trash), options_.log));
  return absl::OkStatus();
}

absl::Status Store::Start() {
  RETURN_IF_ERROR(OpenDirectories());
  RETURN_IF_ERROR(Reconcile());
  {
    absl::MutexLock lock(&write_mu_);
    RETURN_IF_ERROR(Reload());
  }
  RETURN_IF_ERROR(Sweep());
  ASSIGN_OR_RETURN(const std::string boot_id,
                   ReadFileAt(AT_FDCWD, "/proc/sys/kernel/random/boot_id"));
  ASSIGN_OR_RETURN(unclean_stop_,
                   UncleanStop::Begin(database_, std::string(absl::StripAsciiWhitespace(boot_id))));
  if (unclean_stop_->verification_due()) checker_ = std::thread([this] { CheckLayers(); });
  return absl::OkStatus();
}

Store::~Store() {
  stopping_ = true;
  if (checker_.joinable()) checker_.join();
  if (!unclean_stop_.has_value()) return;
  if (absl::Status ended = unclean_stop_->End(database_); !ended.ok())
    Warn("the end of the image store is not noted", {{"error", std::string(ended.message())}});
}

// Nobody waits for it: images are used meanwhile as they are.
void Store::CheckLayers() {
  const std::vector<LayerRow> layers = layers_.PinAll();
  std::vector<int64_t> pinned;
  for (const LayerRow& layer : layers) pinned.push_back(layer.number);
  absl::StatusOr<std::set<int64_t>> damaged = FindDamagedLayers(layers);
  Unpin(pinned);
  absl::Status status = damaged.status();
  if (status.ok()) status = RepairImagesWith(*damaged);
  if (status.ok()) status = unclean_stop_->Verified(database_);
  SweepLater();
  if (!status.ok() && !stopping_)
    Warn("layers are not verified", {{"error", std::string(status.message())}});
}

absl::StatusOr<std::set<int64_t>> Store::FindDamagedLayers(const std::vector<LayerRow>& layers) {
  std::set<int64_t> damaged;
  for (const LayerRow& layer : layers) {
    if (IsDamaged(layer)) {  // found before, not repaired yet
      damaged.insert(layer.number);
      continue;
    }
    const absl::StatusOr<LayerVerification> found = VerifyLayer(layer);
    if (absl::IsNotFound(found.status())) {  // of a version that wrote no trees
      Warn("layer not verified: it has no tree", {{"layer", LayerPath(layer.number)}});
      continue;
    }
    LayerVerification result;
    if (absl::IsDataLoss(found.status())) {
      result = {.differences = 1, .first = {{.what = std::string(found.status().message())}}};
    } else if (!found.ok()) {
      return found.status();
    } else {
      result = *found;
    }
    if (result.ok()) continue;
    RETURN_IF_ERROR(MarkDamaged(layer, result));
    damaged.insert(layer.number);
  }
  return damaged;
}

absl::StatusOr<LayerVerification> Store::VerifyLayer(const LayerRow& layer) {
  return RunVerification({.helper = options_.pull_helper,
                          .work_dir = trees_dir_.get(),
                          .layers_dir = layers_dir_.get(),
                          .cgroups = options_.pull_cgroups,
                          .job = EncodeVerifyJob({.dir = absl::StrCat(layer.number)}),
                          .cancelled = [this] { return stopping_.load(); }});
}

absl::Status Store::MarkDamaged(const LayerRow& layer, const LayerVerification& found) {
  const LayerDifference& first = found.first.front();
  Warn("layer damaged", {{"layer", LayerPath(layer.number)},
                         {"differences", found.differences},
                         {"path", first.path},
                         {"what", first.what}});
  absl::MutexLock lock(&write_mu_);
  RETURN_IF_ERROR(database_.Write(Durability::kPowerLoss, [&](Database::Transaction& transaction) {
    return MarkLayerDamaged(transaction, layer.number);
  }));
  return Reload();
}

// Pulls anew what has lost its name. Containers that run from the damaged layer keep it.
absl::Status Store::RepairImagesWith(const std::set<int64_t>& damaged) {
  const SnapshotPtr now = snapshot();
  absl::Status failure;
  for (const auto& [id, layers] : now->layer_numbers) {
    const bool is_damaged = std::any_of(layers.begin(), layers.end(),
                                        [&](int64_t layer) { return damaged.count(layer) > 0; });
    const std::vector<std::string>& digests = now->images.at(id).repo_digests;
    if (!is_damaged || digests.empty()) continue;
    const absl::Status repaired =
        Pull({.reference = digests.front(), .cancelled = [this] { return stopping_.load(); }})
            .status();
    if (repaired.ok()) continue;
    Warn("image not repaired: pull it again",
         {{"image", digests.front()}, {"error", std::string(repaired.message())}});
    failure.Update(repaired);
  }
  return failure;
}

// Brings rows and directories together after an end that nobody saw.
absl::Status Store::Reconcile() {
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

absl::Status Store::DropImagesWithout(const std::set<int64_t>& present) {
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

absl::Status Store::Reload() {
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
  layers_.Replace(layers, images);
  absl::MutexLock lock(&mu_);
  snapshot_ = std::move(next);
  return absl::OkStatus();
}

std::vector<Image> Store::List() const {
  const SnapshotPtr now = snapshot();
  std::vector<Image> images;
  images.reserve(now->images.size());
  for (const auto& [id, image] : now->images) images.push_back(image);
  return images;
}

absl::StatusOr<std::pair<Image, ImageLease>> Store::Lease(absl::string_view reference) {
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

void Store::Unpin(const std::vector<int64_t>& layers) {
  if (layers_.Unpin(layers)) SweepLater();
}

void Store::SweepLater() {
  trash_->Run([this] {
    if (absl::Status swept = Sweep(); !swept.ok()) {
      Warn("cannot remove unused layers", {{"error", std::string(swept.message())}});
    }
  });
}

// What cannot be thrown away now is thrown away by the next Reconcile.
void Store::ThrowLayer(int64_t number) {
  const std::string name = absl::StrCat(number);
  absl::Status thrown = trash_->Throw(layers_dir_.get(), name);
  thrown.Update(trash_->Throw(trees_dir_.get(), name));
  if (!thrown.ok()) Warn("cannot remove a layer", {{"error", std::string(thrown.message())}});
}

absl::Status Store::Sweep() {
  absl::MutexLock lock(&write_mu_);
  const std::vector<int64_t> unused = layers_.TakeUnused();
  if (unused.empty()) return absl::OkStatus();
  absl::Status deleted = database_.Write(Durability::kPowerLoss,
                                         [&](Database::Transaction& transaction) -> absl::Status {
                                           for (const int64_t number : unused)
                                             RETURN_IF_ERROR(DeleteLayerRow(transaction, number));
                                           return absl::OkStatus();
                                         });
  if (deleted.ok()) {
    for (const int64_t number : unused) ThrowLayer(number);
  }
  RETURN_IF_ERROR(Reload());
  return deleted;
}

absl::Status Store::Remove(absl::string_view reference,
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
          return DeleteImageRow(transaction, image->id);
        }));
    RETURN_IF_ERROR(Reload());
  }
  return Sweep();
}

absl::StatusOr<std::string> Store::Pull(const PullRequest& request) {
  ASSIGN_OR_RETURN(const Reference reference, ParseReference(request.reference));
  return flights_.Join(FlightKey(reference, request.auth), request,
                       [&](const std::function<void(const PullProgress&)>& progress) {
                         return PullAlone(reference, request, progress);
                       });
}

absl::StatusOr<std::string> Store::PullAlone(
    const Reference& reference, const PullRequest& request,
    const std::function<void(const PullProgress&)>& progress) {
  const std::string work_name = NewId();
  const Trash::Pause pause(*trash_);
  std::vector<int64_t> pinned;
  Undo undo;  // also of success: what Commit did not take from the work directory is not needed
  if (::mkdirat(pull_dir_.get(), work_name.c_str(), 0700) != 0)
    return ErrnoStatus("mkdir", work_name);
  undo.Push([&] {
    if (absl::Status thrown = trash_->Throw(pull_dir_.get(), work_name); !thrown.ok()) {
      Warn("cannot clean up a pull", {{"error", std::string(thrown.message())}});
    }
  });
  ASSIGN_OR_RETURN(const UniqueFd work_dir, OpenDir(pull_dir_.get(), work_name));

  // Whatever is skipped now must still be there when the rows are written.
  const std::vector<LayerRow> existing = layers_.PinAll();
  pinned.reserve(existing.size());
  for (const LayerRow& layer : existing) pinned.push_back(layer.number);
  undo.Push([&] { Unpin(pinned); });

  absl::StatusOr<std::vector<RegistryEndpoint>> endpoints = EndpointsFor(reference, request);
  if (!endpoints.ok()) return Annotate(endpoints.status(), absl::StrCat("pull ", reference.Name()));
  PullJob job{.reference = reference.Name(),
              .endpoints = *std::move(endpoints),
              .platform = HostPlatform(),
              .plain_http = options_.plain_http,
              .stall_seconds = options_.stall_seconds};
  for (const LayerRow& layer : existing) {
    if (!IsDamaged(layer))
      job.existing.push_back(
          {.key = layer.key, .dir = absl::StrCat(layer.number), .opaque_root = layer.opaque_root});
  }
  absl::StatusOr<PulledImage> pulled = RunPull({.helper = options_.pull_helper,
                                                .env = options_.pull_env,
                                                .work_dir = work_dir.get(),
                                                .layers_dir = layers_dir_.get(),
                                                .cgroups = options_.pull_cgroups,
                                                .job = EncodePullJob(job),
                                                .progress = progress,
                                                .cancelled = request.cancelled});
  if (!pulled.ok()) return Annotate(pulled.status(), absl::StrCat("pull ", reference.Name()));
  RETURN_IF_ERROR(Commit(reference, *pulled, work_dir.get()));
  return pulled->id;
}

absl::StatusOr<std::vector<RegistryEndpoint>> Store::EndpointsFor(
    const Reference& reference, const PullRequest& request) const {
  ASSIGN_OR_RETURN(std::vector<RegistryEndpoint> endpoints,
                   LoadRegistryEndpoints(reference.host, {.certs_dirs = options_.certs_dirs,
                                                          .plain_http = options_.plain_http}));
  GiveCredentials(reference, request.auth, &endpoints);
  RETURN_IF_ERROR(AddNodeCredentials(reference,
                                     {.files = options_.auth_files,
                                      .helper_dirs = options_.helper_dirs,
                                      .helper_env = options_.pull_env,
                                      .cancelled = request.cancelled},
                                     &endpoints));
  return endpoints;
}

absl::StatusOr<std::vector<LayerRow>> Store::PlaceLayers(const PulledImage& pulled, int work_dir,
                                                         std::vector<int64_t>& numbers) {
  std::map<std::string, int64_t> known = layers_.NumbersByKey();
  std::vector<LayerRow> added;
  for (const PulledLayer& layer : pulled.layers) {
    const auto [at, is_new] = known.emplace(layer.key, next_layer_);
    numbers.push_back(at->second);
    if (!is_new) continue;  // it existed, comes twice, or another pull was faster
    if (layer.dir.empty()) {
      return absl::InternalError(
          absl::StrCat("commit layer ", layer.key, ": neither pulled nor present"));
    }
    ++next_layer_;
    added.push_back({.number = at->second,
                     .key = layer.key,
                     .size_bytes = layer.size_bytes,
                     .inodes = layer.inodes,
                     .opaque_root = layer.opaque_root});
    if (::renameat(work_dir, absl::StrCat(layer.dir, ".tree").c_str(), trees_dir_.get(),
                   absl::StrCat(at->second).c_str()) != 0) {
      return ErrnoStatus("rename", absl::StrCat("trees/", at->second));
    }
    if (::renameat(work_dir, layer.dir.c_str(), layers_dir_.get(),
                   absl::StrCat(at->second).c_str()) != 0) {
      return ErrnoStatus("rename", LayerPath(at->second));
    }
  }
  return added;
}

// The data is on disk (berth-pull's syncfs); now the names, then the rows. A crash in between
// leaves directories without rows, which Reconcile throws away.
absl::Status Store::Commit(const Reference& reference, const PulledImage& pulled, int work_dir) {
  absl::MutexLock lock(&write_mu_);
  ImageRow image{.id = pulled.id, .config = pulled.config, .size_bytes = pulled.size_bytes};
  image.names = {absl::StrCat(reference.Repository(), "@", pulled.target_digest)};
  if (reference.digest.empty()) image.names.push_back(reference.Name());
  const int64_t first_new = next_layer_;
  const auto discard = [&](const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mu_) {
    for (int64_t number = first_new; number < next_layer_; ++number) ThrowLayer(number);
    return Annotate(why, absl::StrCat("commit ", reference.Name()));
  };
  const absl::StatusOr<std::vector<LayerRow>> added = PlaceLayers(pulled, work_dir, image.layers);
  if (!added.ok()) return discard(added.status());
  if (!added->empty() && (::fsync(trees_dir_.get()) != 0 || ::fsync(layers_dir_.get()) != 0))
    return discard(ErrnoStatus("fsync", "layers"));
  const absl::Status written = database_.Write(
      Durability::kPowerLoss, [&](Database::Transaction& transaction) -> absl::Status {
        for (const LayerRow& layer : *added) RETURN_IF_ERROR(InsertLayerRow(transaction, layer));
        return PutImageRow(transaction, image, absl::ToUnixNanos(absl::Now()));
      });
  if (!written.ok()) return discard(written);
  return Reload();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ImageStore>> ImageStore::Open(Options options, Database& database) {
  auto store = std::make_unique<Store>(std::move(options), database);
  RETURN_IF_ERROR(store->Start());
  return std::unique_ptr<ImageStore>(std::move(store));
}

}  // namespace berth
