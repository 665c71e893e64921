// What the image store tells people beyond the CRI: documents, layers, running pulls, the state of
// layers, and what is kept and why. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "src/image/image_store.h"

namespace berth {

struct LayerDetails {
  std::string diff_id;
  std::string blob_digest;  // "" if an older berthd pulled it
  int64_t blob_bytes = 0;   // compressed
  int64_t size_bytes = 0;   // on disk
  int64_t inodes = 0;
  std::string directory;  // relative to the data directory: "layers/12"
  int images = 0;         // that hold it
  bool damaged = false;   // found so, and not yet repaired
};

struct ImageDetails {
  Image image;
  int64_t pulled_at = 0;         // ns since the epoch
  std::string config, manifest;  // exact bytes; manifest "" if an older berthd pulled it
  std::string manifest_media_type, manifest_digest;
  std::vector<LayerDetails> layers;  // lowest first, also those that an opaque root hides
};

struct RunningPull {
  std::string reference;
  int64_t started_at = 0;            // ns since the epoch
  std::vector<PullProgress> layers;  // the latest of each; without that of the manifest
};

struct LayerState {
  enum class Verdict { kOk, kDamaged, kRepaired, kUnknown };  // unknown: there is no tree
  std::string diff_id, directory;
  Verdict verdict = Verdict::kOk;
  std::string detail;  // the first difference, or why a repair failed
};

// "ok", "damaged", "repaired", "unknown"
const char* VerdictName(LayerState::Verdict verdict);

struct GarbageItem {
  std::string kind;  // "image", "layer"
  std::string name;  // id, or directory
  int64_t bytes = 0;
  bool kept = false;
  std::string why;
};

}  // namespace berth
