// What a registry says about an image: OCI and Docker manifests, indexes and configs, as plain
// values. Every limit of what a stranger may send is applied here. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/image/digest.h"
#include "src/image/image_store.h"
#include "src/image/platform.h"

namespace berth {

inline constexpr size_t kMaxManifestBytes = 4 << 20;
inline constexpr size_t kMaxConfigBytes = 8 << 20;
inline constexpr size_t kMaxLayers = 500;  // overlayfs stacks no more (OVL_MAX_STACK)
inline constexpr int kMaxIndexDepth = 3;

// The media types of the documents that ParseManifest reads, comma-separated: for an Accept header.
std::string AcceptedManifestTypes();

struct Descriptor {
  std::string media_type;
  Digest digest;
  int64_t size = 0;
};

struct Manifest {
  Descriptor config;
  std::vector<Descriptor> layers;  // lowest first
};

struct IndexEntry {
  Descriptor manifest;
  bool has_platform = false;
  Platform platform;
};

struct Index {
  std::vector<IndexEntry> entries;
};

// `content_type` is that of the HTTP answer ("" if none, parameters ignored). It must agree with
// the document's own mediaType where both name a manifest type. InvalidArgument (malformed),
// Unimplemented (schema 1, artifacts, unknown layer types), ResourceExhausted (limits).
absl::StatusOr<std::variant<Manifest, Index>> ParseManifest(absl::string_view text,
                                                            absl::string_view content_type);

// The entry that `host` runs best; entries without a platform come last. NotFound lists what there
// is.
absl::StatusOr<Descriptor> ChoosePlatform(const Index& index, const Platform& host);

struct ConfigDocument {
  ImageConfig config;
  Platform platform;
  std::vector<Digest> diff_ids;  // lowest first, all sha256
};

absl::StatusOr<ConfigDocument> ParseImageConfig(absl::string_view text);

}  // namespace berth
