#include "src/image/pull/puller.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/failpoint.h"
#include "src/base/id.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/image/pull/layer_pipeline.h"
#include "src/image/registry_auth.h"
#include "src/image/registry_hosts.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr absl::Duration kProgressInterval = absl::Milliseconds(100);
// Four layers of zstd -19, or many of the default level; with what else there is, below 64 MiB.
constexpr int64_t kWindowBytes = 32 << 20;

// ext4: new directories in here go wherever there is room, like those in the root of the file
// system, and not beside each other. Other file systems may refuse it.
void SpreadSubdirectories(int directory) {
  int flags = 0;
  if (::ioctl(directory, FS_IOC_GETFLAGS, &flags) != 0) return;
  flags |= FS_TOPDIR_FL;
  (void)::ioctl(directory, FS_IOC_SETFLAGS, &flags);
}

// An image for another machine is refused before its layers are fetched; a config that does not say
// is believed.
absl::Status CheckPlatform(const Platform& host, const Platform& image) {
  if (image.os.empty() || image.architecture.empty()) return absl::OkStatus();
  if (PlatformScore(host, {.os = image.os, .architecture = image.architecture}).has_value())
    return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the image is for ", PlatformName(image),
                                                    ", this machine is ", PlatformName(host)));
}

}  // namespace

Puller::Puller(const PullJob& job, const Dirs& dirs, const std::string& ca_bundle,
               std::function<void(const PullMessage&)> tell)
    : job_(job),
      dirs_(dirs),
      tell_(std::move(tell)),
      existing_(job.existing),
      ca_bundle_(ca_bundle),
      bandwidth_(job.bytes_per_second),
      windows_(kWindowBytes) {
  const absl::Duration idle = absl::Seconds(job.stall_seconds);
  http_options_ = {.user_agent = "berth",
                   .connect_timeout = idle,
                   .stall = {.header_timeout = idle, .idle = idle, .window = 2 * idle},
                   .bandwidth = &bandwidth_,
                   .cancelled = [this] { return stop_.load(std::memory_order_relaxed); }};
}

void Puller::Tell(const PullMessage& message) {
  absl::MutexLock lock(&tell_mu_);
  tell_(message);
}

void Puller::Take(const PullOrder& order) {
  if (order.bytes_per_second.has_value()) bandwidth_.SetLimit(*order.bytes_per_second);
  absl::MutexLock lock(&orders_mu_);
  may_fetch_.insert(order.fetch.begin(), order.fetch.end());
  for (const ExistingLayer& layer : order.present) {
    const auto task = FindPending(absl::string_view(layer.key).substr(0, layer.key.find('@')));
    if (task == pending_.end()) continue;
    present_.push_back(layer);
    Tell(PullProgress{.layer = task->blob.digest.text(),
                      .state = "exists",
                      .bytes = task->blob.size,
                      .total_bytes = task->blob.size});
    pending_.erase(task);
  }
}

std::vector<Puller::Task>::iterator Puller::FindPending(absl::string_view diff_id) {
  return std::find_if(pending_.begin(), pending_.end(),
                      [&](const Task& task) { return task.diff_id.text() == diff_id; });
}

std::optional<Puller::Task> Puller::NextTask() {
  std::vector<Task>::iterator next;
  const auto ready = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(orders_mu_) {
    next = std::find_if(pending_.begin(), pending_.end(),
                        [this](const Task& task) ABSL_EXCLUSIVE_LOCKS_REQUIRED(orders_mu_) {
                          return may_fetch_.count(task.diff_id.text()) > 0;
                        });
    return stop_ || pending_.empty() || next != pending_.end();
  };
  absl::MutexLock lock(&orders_mu_, absl::Condition(&ready));
  if (stop_ || pending_.empty()) return std::nullopt;
  Task task = *next;
  pending_.erase(next);
  return task;
}

void Puller::TellPlan(const Resolved& resolved, const std::vector<Task>& tasks) {
  PullPlan plan{.target_digest = resolved.target.text(),
                .target_type = resolved.target_type,
                .target_bytes = resolved.target_bytes};
  for (const Task& task : tasks)
    plan.layers.push_back({.diff_id = task.diff_id.text(), .bound_key = task.bound_key});
  Tell(plan);
}

absl::StatusOr<Puller::Resolved> Puller::Resolve(Registry& registry, Http& http,
                                                 const Reference& reference) {
  Resolved resolved{.target_bytes = 0, .documents_size = 0};
  std::string selector = reference.Selector();
  for (int depth = 0; depth <= kMaxIndexDepth; ++depth) {
    ASSIGN_OR_RETURN(const Registry::Document document, registry.FetchManifest(http, selector));
    if (depth == 0) {
      resolved.target = document.digest;
      resolved.target_type = document.content_type;
      resolved.target_bytes = static_cast<int64_t>(document.bytes.size());
    }
    resolved.documents_size += static_cast<int64_t>(document.bytes.size());
    absl::StatusOr<std::variant<Manifest, Index>> parsed =
        ParseManifest(document.bytes, document.content_type);
    if (!parsed.ok()) return Annotate(parsed.status(), reference.Name());
    if (auto* manifest = std::get_if<Manifest>(&*parsed)) {
      resolved.manifest = std::move(*manifest);
      resolved.manifest_bytes = document.bytes;
      resolved.manifest_type = document.content_type;
      return resolved;
    }
    absl::StatusOr<Descriptor> chosen = ChoosePlatform(std::get<Index>(*parsed), job_.platform);
    if (!chosen.ok()) return Annotate(chosen.status(), reference.Name());
    selector = chosen->digest.text();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(reference.Name(), ": indexes are nested deeper than ", kMaxIndexDepth));
}

// What an earlier pull has brought; its digests are those of the reference and of the manifest.
absl::StatusOr<Puller::Resolved> Puller::Known(const Reference& reference) const {
  ASSIGN_OR_RETURN(auto parsed, ParseManifest(job_.manifest, job_.manifest_type));
  auto* manifest = std::get_if<Manifest>(&parsed);
  if (manifest == nullptr)
    return absl::InvalidArgumentError(absl::StrCat(reference.Name(), ": known, but an index"));
  const auto size = static_cast<int64_t>(job_.manifest.size());
  return Resolved{.manifest = std::move(*manifest),
                  .manifest_bytes = job_.manifest,
                  .manifest_type = job_.manifest_type,
                  .target = reference.digest,
                  .target_type = job_.manifest_type,
                  .target_bytes = size,
                  .documents_size = size};
}

absl::Status Puller::CheckSpace(const std::vector<Task>& tasks) const {
  int64_t needed = 0;
  for (const Task& task : tasks) needed += task.blob.size;
  struct statvfs fs;
  if (::fstatvfs(dirs_.work, &fs) != 0) return ErrnoStatus("statvfs", "the work directory");
  const auto free = static_cast<int64_t>(fs.f_bavail * fs.f_frsize);
  if (needed <= free) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("no space left on device: the layers are ",
                                                   needed, " bytes compressed, ", free,
                                                   " bytes are free"));
}

// A mirror whose content is not what the digest says is no reason to fail: the next may be honest.
absl::StatusOr<Puller::Fetched> Puller::FetchLayer(Registry& registry, Http& http,
                                                   const Task& task) {
  const std::string& digest = task.blob.digest.text();
  if (std::find(job_.blobs.begin(), job_.blobs.end(), digest) != job_.blobs.end()) {
    absl::StatusOr<Fetched> layer = FetchLayerOnce(registry, http, task, Source::kKeptBlob);
    if (layer.ok() || absl::IsResourceExhausted(layer.status())) return layer;
  }
  while (true) {
    absl::StatusOr<Fetched> layer = FetchLayerOnce(registry, http, task, Source::kRegistry);
    const bool again = absl::IsDataLoss(layer.status()) || absl::IsInvalidArgument(layer.status());
    if (!again || !registry.DistrustServers(task.blob.digest)) return layer;
  }
}

absl::Status Puller::ReadKeptBlob(
    const Digest& digest, absl::FunctionRef<absl::Status(absl::string_view bytes)> sink) const {
  const std::string name = digest.text().substr(digest.text().find(':') + 1);
  ASSIGN_OR_RETURN(const UniqueFd blob, OpenFile(dirs_.work, name, O_RDONLY | O_NOFOLLOW));
  std::string buffer(256 << 10, '\0');
  while (true) {
    const ssize_t n = ::read(blob.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("read", absl::StrCat("blob ", name));
    if (n == 0) return absl::OkStatus();
    RETURN_IF_ERROR(sink({buffer.data(), static_cast<size_t>(n)}));
  }
}

absl::StatusOr<Puller::Fetched> Puller::FetchLayerOnce(Registry& registry, Http& http,
                                                       const Task& task, Source source) {
  // Random, because ext4 chooses the place of a layer by the hash of its name (find_group_orlov,
  // SpreadSubdirectories): the same names would lead into the same block groups again and again,
  // and groups that lost many files a minute ago are slow to take new ones (recently_deleted).
  const std::string name = NewId().substr(0, kLayerDirLength);
  ASSIGN_OR_RETURN(
      const std::unique_ptr<LayerPipeline> pipeline,
      LayerPipeline::Create(
          {.work = dirs_.work, .name = name, .keep_blob = job_.keep_blobs, .windows = &windows_},
          task.blob, task.diff_id));
  PullProgress progress{
      .layer = task.blob.digest.text(), .state = "downloading", .total_bytes = task.blob.size};
  absl::Time reported = absl::InfinitePast();
  const auto feed = [&](absl::string_view bytes) -> absl::Status {
    RETURN_IF_ERROR(pipeline->Feed(bytes));
    progress.bytes = pipeline->received_bytes();
    if (const absl::Time now = SteadyNow(); now - reported >= kProgressInterval) {
      reported = now;
      Tell(progress);
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(source == Source::kKeptBlob ? ReadKeptBlob(task.blob.digest, feed)
                                              : registry.StreamBlob(http, task.blob, feed));
  ASSIGN_OR_RETURN(const UnpackedLayer unpacked, pipeline->Finish());
  Fetched fetched{.layer = {.diff_id = task.diff_id.text(),
                            .digest = task.blob.digest.text(),
                            .key = task.diff_id.text(),
                            .dir = name,
                            .blob_bytes = task.blob.size,
                            .size_bytes = unpacked.stats.size_bytes,
                            .inodes = unpacked.stats.inodes,
                            .opaque_root = unpacked.opaque_root},
                  .needs = unpacked.needs};
  ASSIGN_OR_RETURN(fetched.directory, OpenDir(dirs_.work, name));
  if (job_.ask && fetched.needs.empty()) Tell(fetched.layer);
  progress.state = "done";
  progress.bytes = task.blob.size;
  Tell(progress);
  return fetched;
}

absl::StatusOr<std::vector<Puller::Fetched>> Puller::FetchAll(Registry& registry,
                                                              const Resolved& resolved,
                                                              std::vector<Task> tasks) {
  // The largest first: the last to finish should not have begun last.
  std::sort(tasks.begin(), tasks.end(),
            [](const Task& a, const Task& b) { return a.blob.size > b.blob.size; });
  const size_t count = std::min(tasks.size(), static_cast<size_t>(job_.parallel_layers));
  {
    absl::MutexLock lock(&orders_mu_);
    if (!job_.ask) {
      for (const Task& task : tasks) may_fetch_.insert(task.diff_id.text());
    }
    pending_ = tasks;
  }
  if (job_.ask) TellPlan(resolved, tasks);
  absl::Status failure;  // as what was fetched: guarded by orders_mu_
  std::vector<Fetched> fetched;
  const auto work = [&] {
    Http http(http_options_);
    while (const std::optional<Task> task = NextTask()) {
      absl::StatusOr<Fetched> layer = FetchLayer(registry, http, *task);
      absl::MutexLock lock(&orders_mu_);
      if (layer.ok()) {
        fetched.push_back(*std::move(layer));
        continue;
      }
      if (failure.ok())
        failure = Annotate(layer.status(), absl::StrCat("layer ", task->blob.digest.text()));
      stop_ = true;
    }
  };
  std::vector<std::thread> threads;
  for (size_t i = 0; i < count; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  if (!failure.ok()) return failure;
  return fetched;
}

std::vector<Puller::Task> Puller::Plan(const Manifest& manifest, const ConfigDocument& config,
                                       PulledImage& image) {
  std::set<std::string> have;
  for (const ExistingLayer& layer : job_.existing) have.insert(layer.key);
  std::vector<Task> tasks;
  std::string chain;
  for (size_t i = 0; i < manifest.layers.size(); ++i) {
    const Descriptor& blob = manifest.layers[i];
    const std::string diff_id = config.diff_ids[i].text();
    const std::string bound = BoundLayerKey(diff_id, chain);
    const bool bound_exists = have.count(bound) > 0;
    const bool exists =
        bound_exists || !have.insert(diff_id).second;  // in the store, or earlier in this image
    chain = ChainId(chain, diff_id);
    image.size_bytes += blob.size;
    image.layers.push_back({.diff_id = diff_id,
                            .digest = blob.digest.text(),
                            .key = bound_exists ? bound : diff_id,
                            .blob_bytes = blob.size});
    Tell(PullProgress{.layer = blob.digest.text(),
                      .state = exists ? "exists" : "waiting",
                      .total_bytes = blob.size});
    if (!exists) {
      tasks.push_back(
          {.index = i, .blob = blob, .diff_id = config.diff_ids[i], .bound_key = bound});
    }
  }
  return tasks;
}

// Of a layer that was there before.
bool Puller::IsOpaque(absl::string_view key) const {
  return std::any_of(existing_.begin(), existing_.end(), [&](const ExistingLayer& layer) {
    return layer.key == key && layer.opaque_root;
  });
}

absl::StatusOr<UniqueFd> Puller::OpenExisting(const PulledLayer& layer) const {
  for (const ExistingLayer& existing : existing_) {
    if (existing.key == layer.key) return OpenDir(dirs_.layers, existing.dir);
  }
  return absl::InternalError(
      absl::StrCat("open layer ", layer.key, ": neither pulled nor present"));
}

// Layers that other pulls have brought meanwhile.
void Puller::NamePresent(PulledImage& image) {
  absl::MutexLock lock(&orders_mu_);
  for (const ExistingLayer& present : present_) {
    existing_.push_back(present);
    for (PulledLayer& layer : image.layers) {
      if (present.key.compare(0, present.key.find('@'), layer.diff_id) == 0)
        layer.key = present.key;
    }
  }
}

// Puts the fetched layers into the image; those that lean on the layers below get the key that says
// so.
absl::Status Puller::Adopt(std::vector<Fetched>& fetched, PulledImage& image) {
  std::map<std::string, Fetched*> by_diff_id;
  for (Fetched& one : fetched) by_diff_id[one.layer.diff_id] = &one;
  std::set<std::string> placed;
  std::string chain;
  std::vector<UniqueFd> open;
  std::vector<int> below;
  for (PulledLayer& layer : image.layers) {
    const auto found = by_diff_id.find(layer.diff_id);
    if (found != by_diff_id.end() && placed.insert(layer.diff_id).second) {
      const Fetched& one = *found->second;
      layer = one.layer;
      if (layer.opaque_root) below.clear();
      if (!one.needs.empty()) {
        layer.key = BoundLayerKey(layer.diff_id, chain);
        const absl::StatusOr<UnpackStats> stats =
            AdoptLayer({.work = dirs_.work, .name = layer.dir}, one.needs, below);
        if (!stats.ok()) return Annotate(stats.status(), absl::StrCat("layer ", layer.digest));
        layer.size_bytes = stats->size_bytes;
        layer.inodes = stats->inodes;
      }
    } else if (found != by_diff_id.end()) {
      // The same layer once more: as it was the first time.
      const auto first =
          std::find_if(image.layers.begin(), image.layers.end(),
                       [&](const PulledLayer& other) { return other.diff_id == layer.diff_id; });
      layer.key = first->key;
      layer.opaque_root = first->opaque_root;
      if (layer.opaque_root) below.clear();
    } else if (IsOpaque(layer.key)) {
      below.clear();
    }
    if (found == by_diff_id.end()) {
      ASSIGN_OR_RETURN(UniqueFd directory, OpenExisting(layer));
      open.push_back(std::move(directory));
    }
    below.push_back(found == by_diff_id.end() ? open.back().get() : found->second->directory.get());
    chain = ChainId(chain, layer.diff_id);
  }
  return absl::OkStatus();
}

absl::StatusOr<PulledImage> Puller::Run() {
  ASSIGN_OR_RETURN(const Reference reference, ParseReference(job_.reference));
  std::vector<RegistryEndpoint> endpoints = job_.endpoints;
  if (endpoints.empty()) {
    endpoints.push_back(RegistryItself(reference.host, job_.plain_http));
    GiveCredentials(reference, job_.auth, &endpoints);
  }
  ASSIGN_OR_RETURN(
      const std::unique_ptr<Registry> opened,
      Registry::Open(reference, endpoints, {.ca_bundle = ca_bundle_, .http = http_options_}));
  Registry& registry = *opened;
  Http http(http_options_);
  Tell(PullProgress{.state = "resolving"});
  ASSIGN_OR_RETURN(const Resolved resolved,
                   job_.manifest.empty() ? Resolve(registry, http, reference) : Known(reference));
  const Manifest& manifest = resolved.manifest;

  PulledImage image{.id = manifest.config.digest.text(),
                    .target_digest = resolved.target.text(),
                    .manifest = resolved.manifest_bytes,
                    .manifest_type = resolved.manifest_type};
  image.config = job_.config;
  if (image.config.empty()) {
    ASSIGN_OR_RETURN(image.config, registry.FetchBlob(http, manifest.config));
  }
  ASSIGN_OR_RETURN(const ConfigDocument config, ParseImageConfig(image.config));
  RETURN_IF_ERROR(CheckPlatform(job_.platform, config.platform));
  if (config.diff_ids.size() != manifest.layers.size()) {
    return absl::InvalidArgumentError(absl::StrCat(reference.Name(), ": the manifest has ",
                                                   manifest.layers.size(), " layers, the config ",
                                                   config.diff_ids.size()));
  }
  image.size_bytes = resolved.documents_size + manifest.config.size;

  const std::vector<Task> tasks = Plan(manifest, config, image);
  RETURN_IF_ERROR(CheckSpace(tasks));
  SpreadSubdirectories(dirs_.work);
  ASSIGN_OR_RETURN(std::vector<Fetched> fetched, FetchAll(registry, resolved, tasks));
  NamePresent(image);
  RETURN_IF_ERROR(Adopt(fetched, image));
  if (!tasks.empty() && (FAULT("pull_worker.sync") || ::syncfs(dirs_.work) != 0))
    return ErrnoStatus("syncfs", "the work directory");
  return image;
}

}  // namespace berth
