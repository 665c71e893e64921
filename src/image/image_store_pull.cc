// LocalImageStore: from a reference to a committed image.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/failpoint.h"
#include "src/base/id.h"
#include "src/base/status_macros.h"
#include "src/base/undo.h"
#include "src/image/image_verifiers.h"
#include "src/image/local_image_store.h"
#include "src/image/platform.h"
#include "src/image/pull_process.h"
#include "src/image/registry_auth.h"
#include "src/image/registry_credentials.h"
#include "src/image/registry_hosts.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

std::string FlightKey(const Reference& reference, const RegistryAuth& auth) {
  const absl::string_view end("\0", 1);
  return absl::StrCat(reference.Name(), end, auth.username, end, auth.password, end,
                      auth.identity_token, end, auth.registry_token) +
         absl::StrCat(end, auth.server_address);
}

}  // namespace

absl::StatusOr<std::string> LocalImageStore::Pull(const PullRequest& request) {
  ASSIGN_OR_RETURN(const Reference reference, ParseReference(request.reference));
  return flights_.Join(reference.Name(), FlightKey(reference, request.auth), request,
                       [&](const std::function<void(const PullProgress&)>& progress) {
                         return PullAlone(reference, request, nullptr, progress);
                       });
}

ImageStore::PullCounts LocalImageStore::Counts() const {
  absl::MutexLock lock(&counts_mu_);
  return counts_;
}

absl::StatusOr<std::string> LocalImageStore::PullAlone(
    const Reference& reference, const PullRequest& request, const ImageRow* known,
    const std::function<void(const PullProgress&)>& progress) {
  {
    absl::MutexLock lock(&counts_mu_);
    ++counts_.running;
  }
  std::map<std::string, int64_t> received;  // of each layer
  absl::StatusOr<std::string> id =
      PullUncounted(reference, request, known, [&](const PullProgress& now) {
        if (progress) progress(now);
        absl::MutexLock lock(&counts_mu_);
        if (now.state == "exists") ++counts_.layers_present;
        if (now.state == "done") ++counts_.layers_fetched;
        if (now.state != "downloading" && now.state != "done") return;
        int64_t& before = received[now.layer];
        if (now.bytes < before) before = 0;  // once more from the start
        counts_.received_bytes += now.bytes - before;
        before = now.bytes;
      });
  absl::MutexLock lock(&counts_mu_);
  --counts_.running;
  ++(id.ok()                          ? counts_.succeeded
     : absl::IsCancelled(id.status()) ? counts_.cancelled
                                      : counts_.failed);
  return id;
}

absl::Status LocalImageStore::Accept(const Reference& reference, const PullPlan& plan,
                                     const PullRequest& request) const {
  return AskImageVerifiers(
      {.dir = options_.verifier_dir, .env = options_.verifier_env, .cancelled = request.cancelled},
      {.name = reference.Name(),
       .digest = plan.target_digest,
       .media_type = plan.target_type,
       .bytes = plan.target_bytes});
}

// Where keep_blobs was on: the compressed layers of an image, as further names in the work
// directory.
std::vector<std::string> LocalImageStore::LendBlobs(const ImageRow& image, int work_dir) const {
  std::vector<std::string> lent;
  const SnapshotPtr now = snapshot();
  for (const int64_t number : image.layers) {
    const auto layer = now->layers.find(number);
    if (layer == now->layers.end()) continue;
    const std::string& digest = layer->second.row.blob_digest;
    const std::string name = digest.substr(digest.find(':') + 1);
    if (!name.empty() && ::linkat(blobs_dir_.get(), name.c_str(), work_dir, name.c_str(), 0) == 0)
      lent.push_back(digest);
  }
  return lent;
}

absl::StatusOr<std::string> LocalImageStore::PullUncounted(
    const Reference& reference, const PullRequest& request, const ImageRow* known,
    const std::function<void(const PullProgress&)>& progress) {
  const std::string work_name = NewId();
  const Trash::Pause pause(*trash_);
  std::vector<int64_t> pinned;
  Undo undo;  // also of success: what Commit did not take from the work directory is not needed
  if (FAULT("pull.directory") || ::mkdirat(pull_dir_.get(), work_name.c_str(), 0700) != 0)
    return ErrnoStatus("mkdir", work_name);
  undo.Push([&] { Throw(pull_dir_.get(), work_name); });
  ASSIGN_OR_RETURN(const UniqueFd work_dir, OpenDir(pull_dir_.get(), work_name));

  // Whatever is skipped now must still be there when the rows are written.
  const std::vector<LayerRow> existing = layers_.PinAll();
  pinned.reserve(existing.size());
  for (const LayerRow& layer : existing) pinned.push_back(layer.number);
  undo.Push([&] { Unpin(pinned); });

  absl::StatusOr<std::vector<RegistryEndpoint>> endpoints = EndpointsFor(reference, request);
  if (!endpoints.ok()) return Annotate(endpoints.status(), absl::StrCat("pull ", reference.Name()));
  PullAttempt attempt(
      claims_, layers_, bandwidth_,
      [&](const std::vector<PulledLayer>& layers) { return StoreLayers(layers, work_dir.get()); },
      pinned);
  PullJob job{.reference = reference.Name(),
              .endpoints = *std::move(endpoints),
              .platform = HostPlatform(),
              .plain_http = options_.plain_http,
              .parallel_layers = options_.parallel_layers,
              .bytes_per_second = attempt.bytes_per_second(),
              .stall_seconds = options_.stall_seconds,
              .ask = true,
              .keep_blobs = options_.keep_blobs};
  if (known != nullptr) {
    job.blobs = LendBlobs(*known, work_dir.get());
    job.manifest = known->manifest;
    job.manifest_type = known->manifest_type;
    job.config = known->config;
  }
  for (const LayerRow& layer : existing) {
    if (!IsDamaged(layer))
      job.existing.push_back(
          {.key = layer.key, .dir = absl::StrCat(layer.number), .opaque_root = layer.opaque_root});
  }
  absl::StatusOr<PulledImage> pulled =
      RunPull({.helper = options_.pull_helper,
               .env = options_.pull_env,
               .work_dir = work_dir.get(),
               .layers_dir = layers_dir_.get(),
               .cgroups = options_.pull_cgroups,
               .job = EncodePullJob(job),
               .progress = progress,
               .cancelled = request.cancelled,
               .plan = [&](const PullPlan& plan) -> absl::Status {
                 // What is mended was accepted when it was pulled, and is the same to the byte.
                 if (known == nullptr) RETURN_IF_ERROR(Accept(reference, plan, request));
                 attempt.OnPlan(plan);
                 return absl::OkStatus();
               },
               .layer = [&](const PulledLayer& layer) { attempt.OnLayer(layer); },
               .next_order = [&] { return attempt.NextOrder(); },
               .wake_fd = attempt.wake_fd()});
  const bool keep =
      options_.keep_partial > absl::ZeroDuration() && !absl::IsResourceExhausted(pulled.status());
  if (!pulled.ok() && keep) KeepForNextTry(attempt, work_dir.get());
  if (!pulled.ok()) return Annotate(pulled.status(), absl::StrCat("pull ", reference.Name()));
  if (known != nullptr) pulled->size_bytes = known->size_bytes;
  RETURN_IF_ERROR(Commit(reference, *pulled, work_dir.get()));
  RETURN_IF_FAULT("pull.answer");
  return pulled->id;
}

absl::StatusOr<std::vector<RegistryEndpoint>> LocalImageStore::EndpointsFor(
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

absl::StatusOr<std::vector<LayerRow>> LocalImageStore::PlaceLayers(
    const std::vector<PulledLayer>& layers, int work_dir, std::vector<int64_t>& numbers) {
  std::map<std::string, int64_t> known = layers_.NumbersByKey();
  std::vector<LayerRow> added;
  for (const PulledLayer& layer : layers) {
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
                     .opaque_root = layer.opaque_root,
                     .blob_digest = layer.digest,
                     .blob_bytes = layer.blob_bytes});
    if (FAULT("pull.place_tree") ||
        ::renameat(work_dir, absl::StrCat(layer.dir, ".tree").c_str(), trees_dir_.get(),
                   absl::StrCat(at->second).c_str()) != 0) {
      return ErrnoStatus("rename", absl::StrCat("trees/", at->second));
    }
    const std::string blob = layer.digest.substr(layer.digest.find(':') + 1);
    if (options_.keep_blobs && ::renameat(work_dir, absl::StrCat(layer.dir, ".blob").c_str(),
                                          blobs_dir_.get(), blob.c_str()) != 0) {
      return ErrnoStatus("rename", absl::StrCat("blobs/", blob));
    }
    if (FAULT("pull.place_layer") || ::renameat(work_dir, layer.dir.c_str(), layers_dir_.get(),
                                                absl::StrCat(at->second).c_str()) != 0) {
      return ErrnoStatus("rename", LayerPath(at->second));
    }
  }
  return added;
}

absl::Status LocalImageStore::WriteLayers(
    const std::vector<PulledLayer>& layers, int work_dir,
    absl::FunctionRef<absl::Status(Database::Transaction&, const std::vector<int64_t>&)> with) {
  const int64_t first_new = next_layer_;
  const auto discard = [&](const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mu_) {
    for (int64_t number = first_new; number < next_layer_; ++number) ThrowLayer(number);
    return why;
  };
  std::vector<int64_t> numbers;
  const absl::StatusOr<std::vector<LayerRow>> added = PlaceLayers(layers, work_dir, numbers);
  if (!added.ok()) return discard(added.status());
  if (!added->empty() && (FAULT("pull.sync") || ::fsync(trees_dir_.get()) != 0 ||
                          ::fsync(layers_dir_.get()) != 0 || ::fsync(blobs_dir_.get()) != 0))
    return discard(ErrnoStatus("fsync", "layers"));
  const absl::Status written = database_.Write(
      Durability::kPowerLoss, [&](Database::Transaction& transaction) -> absl::Status {
        RETURN_IF_FAULT("pull.record");
        for (const LayerRow& layer : *added) RETURN_IF_ERROR(InsertLayerRow(transaction, layer));
        return with(transaction, numbers);
      });
  if (!written.ok()) return discard(written);
  return Reload();
}

// The data is on disk (berth-pull's syncfs); now the names, then the rows. A crash in between
// leaves directories without rows, which Reconcile throws away.
absl::Status LocalImageStore::Commit(const Reference& reference, const PulledImage& pulled,
                                     int work_dir) {
  absl::MutexLock lock(&write_mu_);
  ImageRow image{.id = pulled.id,
                 .config = pulled.config,
                 .manifest = pulled.manifest,
                 .manifest_type = pulled.manifest_type,
                 .size_bytes = pulled.size_bytes,
                 .pulled_at = absl::ToUnixNanos(absl::Now())};
  image.names = {absl::StrCat(reference.Repository(), "@", pulled.target_digest)};
  if (reference.digest.empty()) image.names.push_back(reference.Name());
  const absl::Status written =
      WriteLayers(pulled.layers, work_dir,
                  [&](Database::Transaction& transaction, const std::vector<int64_t>& numbers) {
                    image.layers = numbers;
                    return PutImageRow(transaction, image);
                  });
  return Annotate(written, absl::StrCat("commit ", reference.Name()));
}

// Before their image is whole: what only the worker has written so far is synced here.
absl::StatusOr<std::vector<int64_t>> LocalImageStore::StoreLayers(
    const std::vector<PulledLayer>& layers, int work_dir) {
  if (::syncfs(work_dir) != 0) return ErrnoStatus("syncfs", "the work directory");
  absl::MutexLock lock(&write_mu_);
  std::vector<int64_t> stored;
  RETURN_IF_ERROR(WriteLayers(layers, work_dir,
                              [&](Database::Transaction&, const std::vector<int64_t>& numbers) {
                                stored = numbers;
                                return absl::OkStatus();
                              }));
  // Sweep would have to take the lock first.
  if (!layers_.Pin(stored)) return absl::InternalError("pin layers: gone at once");
  return stored;
}

void LocalImageStore::KeepForNextTry(const PullAttempt& attempt, int work_dir) {
  std::vector<int64_t> keep = attempt.stored();
  if (!layers_.Pin(keep)) keep.clear();
  if (!attempt.complete().empty()) {
    const absl::StatusOr<std::vector<int64_t>> stored = StoreLayers(attempt.complete(), work_dir);
    if (stored.ok()) {
      keep.insert(keep.end(), stored->begin(), stored->end());
    } else {
      Warn("layers of a pull are not kept for its next try",
           {{"error", std::string(stored.status().message())}});
    }
  }
  if (!keep.empty()) kept_->Keep(std::move(keep));
}

}  // namespace berth
