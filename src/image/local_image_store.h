// The ImageStore over the database and the data directory. Its parts: image_store.cc (opening,
// looking up, removing), image_store_pull.cc, image_store_health.cc (verification, repair,
// garbage).
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "src/base/unique_fd.h"
#include "src/image/bandwidth_split.h"
#include "src/image/flights.h"
#include "src/image/image_catalog.h"
#include "src/image/image_details.h"
#include "src/image/image_rows.h"
#include "src/image/image_snapshot.h"
#include "src/image/image_store.h"
#include "src/image/kept_layers.h"
#include "src/image/layer_claims.h"
#include "src/image/layer_table.h"
#include "src/image/pull_attempt.h"
#include "src/image/pull_protocol.h"
#include "src/image/reference.h"
#include "src/image/trash.h"
#include "src/image/unclean_stop.h"
#include "src/image/user_files.h"

namespace berth {

class LocalImageStore : public ImageStore {
 public:
  using SnapshotPtr = std::shared_ptr<const ImageSnapshot>;

  LocalImageStore(Options options, Database& database)
      : options_(std::move(options)), database_(database), bandwidth_(options_.bytes_per_second) {}
  ~LocalImageStore() override;

  absl::Status Start();

  absl::StatusOr<std::string> Pull(const PullRequest& request) override;
  absl::StatusOr<Image> Find(absl::string_view reference) const override {
    return FindImage(*snapshot(), reference);
  }
  std::vector<Image> List() const override;
  absl::StatusOr<std::pair<Image, ImageLease>> Lease(absl::string_view reference) override;
  absl::StatusOr<UserFiles> UserFilesOf(const Image& image) override {
    return user_files_.Of(data_dir_.get(), image);
  }
  absl::Status Remove(absl::string_view reference,
                      absl::FunctionRef<bool(absl::string_view id)> in_use) override;
  absl::StatusOr<ImageDetails> Inspect(absl::string_view reference) const override;
  absl::Status Tag(absl::string_view reference, absl::string_view name) override;
  absl::Status Untag(absl::string_view name) override;
  std::vector<RunningPull> Pulls() const override { return flights_.Running(); }
  absl::Status Verify(absl::string_view reference, bool repair,
                      absl::FunctionRef<void(const LayerState&)> report,
                      const std::function<bool()>& cancelled) override;
  absl::StatusOr<std::vector<GarbageItem>> CollectGarbage(bool dry_run) override;
  PullCounts Counts() const override;
  Usage DiskUsage() const override { return snapshot()->usage; }

 private:
  SnapshotPtr snapshot() const {
    absl::MutexLock lock(&mu_);
    return snapshot_;
  }

  absl::Status OpenDirectories();
  absl::Status RebuildRows();
  absl::Status Reconcile();
  absl::Status DropImagesWithout(const std::set<int64_t>& present);
  absl::Status Reload() ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mu_);
  void CheckLayers();
  absl::Status VerifyLayers(const std::vector<LayerRow>& layers, bool repair,
                            absl::FunctionRef<void(const LayerState&)> report,
                            const std::function<bool()>& cancelled);
  absl::StatusOr<LayerState> VerifyLayer(const LayerRow& layer,
                                         const std::function<bool()>& cancelled);
  absl::Status MarkDamaged(const LayerRow& layer) ABSL_LOCKS_EXCLUDED(write_mu_);
  absl::Status RepairImagesWith(int64_t damaged, const std::function<bool()>& cancelled);
  // Now, or as soon as that can be done.
  void Throw(int directory, const std::string& name);
  void ThrowLayer(int64_t number);
  absl::Status Sweep() ABSL_LOCKS_EXCLUDED(write_mu_);
  void SweepLater();

  // `known`: what is mended, with no question to the registry but for layers; else null.
  absl::StatusOr<std::string> PullAlone(const Reference& reference, const PullRequest& request,
                                        const ImageRow* known,
                                        const std::function<void(const PullProgress&)>& progress);
  absl::StatusOr<std::string> PullUncounted(
      const Reference& reference, const PullRequest& request, const ImageRow* known,
      const std::function<void(const PullProgress&)>& progress);
  absl::Status Accept(const Reference& reference, const PullPlan& plan,
                      const PullRequest& request) const;
  std::vector<std::string> LendBlobs(const ImageRow& image, int work_dir) const;
  absl::Status ThrowUnusedBlobs();
  absl::StatusOr<std::vector<RegistryEndpoint>> EndpointsFor(const Reference& reference,
                                                             const PullRequest& request) const;
  absl::Status Commit(const Reference& reference, const PulledImage& pulled, int work_dir)
      ABSL_LOCKS_EXCLUDED(write_mu_);
  // `with` adds to the transaction that makes the rows of what is new in `layers`.
  absl::Status WriteLayers(
      const std::vector<PulledLayer>& layers, int work_dir,
      absl::FunctionRef<absl::Status(Database::Transaction&, const std::vector<int64_t>&)> with)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mu_);
  absl::StatusOr<std::vector<int64_t>> StoreLayers(const std::vector<PulledLayer>& layers,
                                                   int work_dir) ABSL_LOCKS_EXCLUDED(write_mu_);
  void KeepForNextTry(const PullAttempt& attempt, int work_dir) ABSL_LOCKS_EXCLUDED(write_mu_);
  absl::StatusOr<std::vector<LayerRow>> PlaceLayers(const std::vector<PulledLayer>& layers,
                                                    int work_dir, std::vector<int64_t>& numbers)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mu_);
  void Unpin(const std::vector<int64_t>& layers);

  void Warn(absl::string_view message, std::initializer_list<LogField> fields) const {
    if (options_.log != nullptr) options_.log->Warning(message, fields);
  }

  const Options options_;
  Database& database_;
  UniqueFd data_dir_, layers_dir_, trees_dir_, blobs_dir_, pull_dir_;
  UserFileCache user_files_;
  Flights flights_;
  BandwidthSplit bandwidth_;
  LayerTable layers_;
  LayerClaims claims_;
  mutable absl::Mutex counts_mu_;
  PullCounts counts_ ABSL_GUARDED_BY(counts_mu_);
  absl::Mutex write_mu_;  // one change of rows and directories at a time; held over I/O, never
                          // taken by readers
  int64_t next_layer_ ABSL_GUARDED_BY(write_mu_) = 1;
  std::optional<ImageCatalog> catalog_ ABSL_GUARDED_BY(write_mu_);
  mutable absl::Mutex mu_;
  SnapshotPtr snapshot_ ABSL_GUARDED_BY(mu_) = std::make_shared<ImageSnapshot>();
  std::unique_ptr<Trash> trash_;  // after the above: its threads use them
  std::optional<KeptLayers> kept_;
  std::optional<UncleanStop> unclean_stop_;
  std::atomic<bool> stopping_ = false;
  std::thread checker_;  // of the layers, after an unclean stop
};

}  // namespace berth
