// One run of berth-pull for an image, seen from the store: what the worker is told to fetch and
// what it has brought. Used by LocalImageStore::PullAlone on one thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "src/image/bandwidth_split.h"
#include "src/image/layer_claims.h"
#include "src/image/layer_table.h"
#include "src/image/pull_protocol.h"

namespace berth {

class PullAttempt {
 public:
  // Makes rows of complete layers of the work directory and pins them; their numbers.
  using Store =
      std::function<absl::StatusOr<std::vector<int64_t>>(const std::vector<PulledLayer>& layers)>;

  // `pinned` receives what this attempt pins in `table`. All are borrowed.
  PullAttempt(LayerClaims& claims, LayerTable& table, BandwidthSplit& bandwidth, Store store,
              std::vector<int64_t>& pinned)
      : table_(table),
        share_(bandwidth),
        store_(std::move(store)),
        pinned_(pinned),
        party_(claims) {}

  int64_t bytes_per_second() const { return share_.bytes_per_second(); }
  int wake_fd() const { return party_.wake_fd(); }

  void OnPlan(const PullPlan& plan);
  // Of a layer that is complete.
  void OnLayer(const PulledLayer& layer) { complete_.push_back(layer); }
  // What to tell the worker now; layers that other pulls wait for are stored meanwhile.
  PullOrder NextOrder();

  // What the worker has brought and nobody has stored, and what is stored already.
  const std::vector<PulledLayer>& complete() const { return complete_; }
  const std::vector<int64_t>& stored() const { return stored_; }

 private:
  void StoreAwaited();

  LayerTable& table_;
  const BandwidthSplit::Share share_;
  const Store store_;
  std::vector<int64_t>& pinned_;
  std::map<std::string, std::string> bound_keys_;  // of the plan's layers, by diff_id
  std::vector<PulledLayer> complete_;
  std::vector<int64_t> stored_;
  int64_t told_bytes_per_second_ = -1;
  LayerClaims::Party party_;
};

}  // namespace berth
