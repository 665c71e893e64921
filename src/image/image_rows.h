// Typed access to the image tables of the database (schema.h). Each function runs inside a
// transaction of the caller.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/store/database.h"

namespace berth {

struct LayerRow {
  int64_t number = 0;
  std::string key;  // column diff_id (see BoundLayerKey)
  int64_t size_bytes = 0, inodes = 0;
  bool opaque_root = false;  // hides all layers below it
  std::string blob_digest;
  int64_t blob_bytes = 0;
};

// Has MarkLayerDamaged taken its name?
bool IsDamaged(const LayerRow& layer);

struct ImageRow {
  std::string id, config, manifest, manifest_type;
  int64_t size_bytes = 0, pulled_at = 0;
  std::vector<int64_t> layers;     // numbers, lowest first
  std::vector<std::string> names;  // sorted
};

absl::StatusOr<std::vector<LayerRow>> ReadLayerRows(Database::Transaction& transaction);
absl::StatusOr<std::vector<ImageRow>> ReadImageRows(Database::Transaction& transaction);

absl::Status InsertLayerRow(Database::Transaction& transaction, const LayerRow& layer);
// Takes its name, so that no later pull finds it; images keep it until they are pulled again.
absl::Status MarkLayerDamaged(Database::Transaction& transaction, int64_t number);
absl::Status DeleteLayerRow(Database::Transaction& transaction, int64_t number);

// Adds the image, or renews what it is if it is known; `image.names` are taken from whichever image
// had them.
absl::Status PutImageRow(Database::Transaction& transaction, const ImageRow& image);
absl::Status PutImageName(Database::Transaction& transaction, absl::string_view name,
                          absl::string_view image_id);
absl::Status DeleteImageName(Database::Transaction& transaction, absl::string_view name);
// With its names; its layers stay.
absl::Status DeleteImageRow(Database::Transaction& transaction, absl::string_view id);

}  // namespace berth
