// One whole pull inside berth-pull: reference -> manifest -> config -> all layers in parallel ->
// one syncfs. Leaves one directory per fetched layer in the work directory.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "src/base/unique_fd.h"
#include "src/image/manifest.h"
#include "src/image/pull/bandwidth.h"
#include "src/image/pull/http.h"
#include "src/image/pull/layer_needs.h"
#include "src/image/pull/registry.h"
#include "src/image/pull_protocol.h"

namespace berth {

class Puller {
 public:
  struct Dirs {  // borrowed
    int work;    // empty
    int layers;  // holds job.existing
  };
  // `ca_bundle` is PEM. `progress` is called from several threads, one at a time.
  Puller(const PullJob& job, const Dirs& dirs, const std::string& ca_bundle,
         std::function<void(const PullProgress&)> progress);

  absl::StatusOr<PulledImage> Run();

  // From now on, of all connections together; 0: no limit. From any thread.
  void SetBandwidth(int64_t bytes_per_second) { bandwidth_.SetLimit(bytes_per_second); }

 private:
  struct Resolved {
    Manifest manifest;
    std::string manifest_bytes, manifest_type;
    Digest target;           // of the first document
    int64_t documents_size;  // bytes of manifest and indexes
  };
  struct Task {
    size_t index;  // of the layer, lowest first
    Descriptor blob;
    Digest diff_id;
  };
  // What the threads fill in, each its own task's part.
  struct Fetched {
    PulledLayer layer;
    LayerNeeds needs;
  };

  absl::StatusOr<Resolved> Resolve(Registry& registry, Http& http, const Reference& reference);
  absl::Status CheckSpace(const std::vector<Task>& tasks) const;
  std::vector<Task> Plan(const Manifest& manifest, const ConfigDocument& config,
                         PulledImage& image);
  absl::StatusOr<std::vector<Fetched>> FetchAll(Registry& registry, std::vector<Task> tasks);
  absl::StatusOr<Fetched> FetchLayer(Registry& registry, Http& http, const Task& task);
  absl::StatusOr<Fetched> FetchLayerOnce(Registry& registry, Http& http, const Task& task);
  absl::Status Adopt(const std::vector<Fetched>& fetched, PulledImage& image);
  bool IsOpaque(absl::string_view key) const;
  absl::StatusOr<UniqueFd> OpenLayer(const PulledImage& image, const PulledLayer& layer) const;
  void Report(const PullProgress& progress);

  const PullJob job_;
  const Dirs dirs_;
  const std::function<void(const PullProgress&)> progress_;
  absl::Mutex progress_mu_;
  std::atomic<bool> stop_ = false;  // set by the first layer that fails
  const std::string ca_bundle_;
  Bandwidth bandwidth_;
  Http::Options http_options_;
};

}  // namespace berth
