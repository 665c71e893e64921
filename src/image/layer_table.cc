#include "src/image/layer_table.h"

#include <algorithm>

namespace berth {

void LayerTable::Replace(const std::vector<LayerRow>& layers, const std::vector<ImageRow>& images) {
  absl::MutexLock lock(&mu_);
  std::map<int64_t, Layer> next;
  for (const LayerRow& row : layers) {
    const auto old = layers_.find(row.number);
    next[row.number] = {.row = row, .pins = old == layers_.end() ? 0 : old->second.pins};
  }
  for (const ImageRow& image : images) {
    for (const int64_t number : image.layers) {
      if (const auto layer = next.find(number); layer != next.end()) layer->second.in_image = true;
    }
  }
  layers_ = std::move(next);
}

bool LayerTable::Pin(const std::vector<int64_t>& layers) {
  absl::MutexLock lock(&mu_);
  const bool all_there = std::all_of(layers.begin(), layers.end(),
                                     [this](int64_t number) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
                                       return layers_.count(number) > 0;
                                     });
  if (!all_there) return false;
  for (const int64_t number : layers) ++layers_[number].pins;
  return true;
}

std::vector<LayerRow> LayerTable::PinAll() {
  absl::MutexLock lock(&mu_);
  std::vector<LayerRow> rows;
  for (auto& [number, layer] : layers_) {
    ++layer.pins;
    rows.push_back(layer.row);
  }
  return rows;
}

std::optional<LayerRow> LayerTable::PinKey(absl::string_view key) {
  absl::MutexLock lock(&mu_);
  for (auto& [number, layer] : layers_) {
    if (layer.row.key != key) continue;
    ++layer.pins;
    return layer.row;
  }
  return std::nullopt;
}

bool LayerTable::Unpin(const std::vector<int64_t>& layers) {
  absl::MutexLock lock(&mu_);
  bool sweep_due = false;
  for (const int64_t number : layers) {
    const auto layer = layers_.find(number);
    if (layer == layers_.end()) continue;
    --layer->second.pins;
    sweep_due = sweep_due || (layer->second.pins == 0 && !layer->second.in_image);
  }
  return sweep_due;
}

std::vector<int64_t> LayerTable::TakeUnused() {
  absl::MutexLock lock(&mu_);
  std::vector<int64_t> unused;
  for (const auto& [number, layer] : layers_) {
    if (layer.pins == 0 && !layer.in_image) unused.push_back(number);
  }
  for (const int64_t number : unused) layers_.erase(number);
  return unused;
}

std::map<std::string, int64_t> LayerTable::NumbersByKey() const {
  absl::MutexLock lock(&mu_);
  std::map<std::string, int64_t> numbers;
  for (const auto& [number, layer] : layers_) numbers[layer.row.key] = number;
  return numbers;
}

std::set<std::string> LayerTable::BlobDigests() const {
  absl::MutexLock lock(&mu_);
  std::set<std::string> digests;
  for (const auto& [number, layer] : layers_) digests.insert(layer.row.blob_digest);
  return digests;
}

std::set<int64_t> LayerTable::Pinned() const {
  absl::MutexLock lock(&mu_);
  std::set<int64_t> pinned;
  for (const auto& [number, layer] : layers_) {
    if (layer.pins > 0) pinned.insert(number);
  }
  return pinned;
}

}  // namespace berth
