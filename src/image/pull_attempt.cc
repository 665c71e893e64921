#include "src/image/pull_attempt.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace berth {

void PullAttempt::OnPlan(const PullPlan& plan) {
  std::vector<std::string> wanted;
  for (const PullPlan::Layer& layer : plan.layers) {
    bound_keys_[layer.diff_id] = layer.bound_key;
    wanted.push_back(layer.diff_id);
  }
  party_.Want(wanted);
}

// A layer that cannot be stored alone comes with its image, or is fetched by the one that waits.
void PullAttempt::StoreAwaited() {
  std::vector<PulledLayer> rest;
  for (PulledLayer& layer : std::exchange(complete_, {})) {
    if (!party_.IsAwaited(layer.diff_id)) {
      rest.push_back(std::move(layer));
      continue;
    }
    const absl::StatusOr<std::vector<int64_t>> numbers = store_({layer});
    party_.GiveUp(layer.diff_id);
    if (!numbers.ok()) continue;
    pinned_.insert(pinned_.end(), numbers->begin(), numbers->end());
    stored_.insert(stored_.end(), numbers->begin(), numbers->end());
  }
  complete_ = std::move(rest);
}

PullOrder PullAttempt::NextOrder() {
  PullOrder order;
  if (const int64_t now = share_.bytes_per_second(); now != told_bytes_per_second_) {
    if (told_bytes_per_second_ >= 0) order.bytes_per_second = now;  // the job has said the first
    told_bytes_per_second_ = now;
  }
  StoreAwaited();
  for (const std::string& diff_id : party_.Take()) {
    std::optional<LayerRow> row = table_.PinKey(diff_id);
    if (!row.has_value()) row = table_.PinKey(bound_keys_[diff_id]);
    if (!row.has_value()) {
      order.fetch.push_back(diff_id);
      continue;
    }
    party_.GiveUp(diff_id);
    pinned_.push_back(row->number);
    order.present.push_back(
        {.key = row->key, .dir = absl::StrCat(row->number), .opaque_root = row->opaque_root});
  }
  return order;
}

}  // namespace berth
