// Which layers there are, which images hold them, and who else needs them just now (pins of leases
// and of running pulls). Thread-safe, in memory only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "src/image/image_rows.h"

namespace berth {

class LayerTable {
 public:
  // The truth after a change of the rows; pins of layers that stay are kept.
  void Replace(const std::vector<LayerRow>& layers, const std::vector<ImageRow>& images);

  // False, and nothing pinned, if one of them is gone.
  bool Pin(const std::vector<int64_t>& layers);
  std::vector<LayerRow> PinAll();
  // The layer of this key, pinned; nullopt if there is none.
  std::optional<LayerRow> PinKey(absl::string_view key);
  // True if a layer lost its last pin and no image holds it: a sweep is due.
  bool Unpin(const std::vector<int64_t>& layers);

  // The layers that no image and no pin holds. They leave the table at once, so that nobody can pin
  // them any more.
  std::vector<int64_t> TakeUnused();

  std::map<std::string, int64_t> NumbersByKey() const;
  std::set<std::string> BlobDigests() const;
  // Those that are pinned.
  std::set<int64_t> Pinned() const;

 private:
  struct Layer {
    LayerRow row;
    int pins = 0;
    bool in_image = false;
  };
  mutable absl::Mutex mu_;
  std::map<int64_t, Layer> layers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth
