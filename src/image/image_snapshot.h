// The images of the node at one moment: immutable, shared by all readers, replaced as a whole.
// Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/image/image_rows.h"
#include "src/image/image_store.h"

namespace berth {

struct SnapshotLayer {
  LayerRow row;
  std::string diff_id;
  std::vector<std::string> images;  // ids of those that hold it
};

struct ImageSnapshot {
  std::map<std::string, Image> images;                        // by id
  std::map<std::string, std::string> names;                   // full name -> id
  std::map<std::string, std::vector<int64_t>> layer_numbers;  // by id, lowest first
  std::map<int64_t, SnapshotLayer> layers;                    // by number
  ImageStore::Usage usage;
};

// What the rows say. Images whose config cannot be read are left out and named in `unreadable`.
ImageSnapshot MakeSnapshot(const std::vector<LayerRow>& layers, const std::vector<ImageRow>& images,
                           std::vector<std::string>& unreadable);

// Where a layer lies, relative to the data directory.
std::string LayerPath(int64_t number);

// ImageStore::Find on a snapshot. The order: a full id; a name; a prefix of an id.
absl::StatusOr<Image> FindImage(const ImageSnapshot& snapshot, absl::string_view reference);

}  // namespace berth
