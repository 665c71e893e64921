// One whole pull inside berth-pull: reference -> manifest -> config -> all layers in parallel ->
// one syncfs. Leaves one directory per fetched layer in the work directory.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "src/base/unique_fd.h"
#include "src/image/manifest.h"
#include "src/image/pull/bandwidth.h"
#include "src/image/pull/http.h"
#include "src/image/pull/layer_needs.h"
#include "src/image/pull/registry.h"
#include "src/image/pull/window_budget.h"
#include "src/image/pull_protocol.h"

namespace berth {

class Puller {
 public:
  struct Dirs {  // borrowed
    int work;    // empty
    int layers;  // holds job.existing
  };
  // `ca_bundle` is PEM. `tell` is called from several threads, one at a time, with progress and, if
  // the job asks, with the plan and complete layers.
  Puller(const PullJob& job, const Dirs& dirs, const std::string& ca_bundle,
         std::function<void(const PullMessage&)> tell);

  absl::StatusOr<PulledImage> Run();

  // From any thread, at any time after the plan was told.
  void Take(const PullOrder& order);

 private:
  struct Resolved {
    Manifest manifest;
    std::string manifest_bytes, manifest_type;
    Digest target;  // of the first document, as are the next two
    std::string target_type;
    int64_t target_bytes;
    int64_t documents_size;  // bytes of manifest and indexes
  };
  struct Task {
    size_t index;  // of the layer, lowest first
    Descriptor blob;
    Digest diff_id;
    std::string bound_key;
  };
  // What the threads fill in, each its own task's part.
  struct Fetched {
    PulledLayer layer;
    LayerNeeds needs;
    UniqueFd directory;  // the daemon may move it meanwhile
  };

  absl::StatusOr<Resolved> Resolve(Registry& registry, Http& http, const Reference& reference);
  absl::StatusOr<Resolved> Known(const Reference& reference) const;
  absl::Status CheckSpace(const std::vector<Task>& tasks) const;
  std::vector<Task> Plan(const Manifest& manifest, const ConfigDocument& config,
                         PulledImage& image);
  void TellPlan(const Resolved& resolved, const std::vector<Task>& tasks);
  absl::StatusOr<std::vector<Fetched>> FetchAll(Registry& registry, const Resolved& resolved,
                                                std::vector<Task> tasks);
  // Waits for one that may be fetched; nullopt when there is nothing more to do.
  std::optional<Task> NextTask();
  std::vector<Task>::iterator FindPending(absl::string_view diff_id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(orders_mu_);
  absl::StatusOr<Fetched> FetchLayer(Registry& registry, Http& http, const Task& task);
  // From the work directory, or from `registry`.
  enum class Source { kKeptBlob, kRegistry };
  absl::StatusOr<Fetched> FetchLayerOnce(Registry& registry, Http& http, const Task& task,
                                         Source source);
  absl::Status ReadKeptBlob(const Digest& digest,
                            absl::FunctionRef<absl::Status(absl::string_view bytes)> sink) const;
  absl::Status Adopt(std::vector<Fetched>& fetched, PulledImage& image);
  void NamePresent(PulledImage& image);
  bool IsOpaque(absl::string_view key) const;
  absl::StatusOr<UniqueFd> OpenExisting(const PulledLayer& layer) const;
  void Tell(const PullMessage& message);

  const PullJob job_;
  const Dirs dirs_;
  const std::function<void(const PullMessage&)> tell_;
  absl::Mutex tell_mu_;
  absl::Mutex orders_mu_;                                  // before tell_mu_
  std::vector<Task> pending_ ABSL_GUARDED_BY(orders_mu_);  // largest first
  std::set<std::string> may_fetch_ ABSL_GUARDED_BY(orders_mu_);
  std::vector<ExistingLayer> present_ ABSL_GUARDED_BY(orders_mu_);
  std::vector<ExistingLayer> existing_;  // those of the job; with the present once all are known
  std::atomic<bool> stop_ = false;       // set by the first layer that fails
  const std::string ca_bundle_;
  Bandwidth bandwidth_;
  WindowBudget windows_;
  Http::Options http_options_;
};

}  // namespace berth
