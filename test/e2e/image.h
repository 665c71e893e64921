// Container images in memory: layers, config, manifest and index as a registry serves them; and the
// images that the tests use.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "test/e2e/tar.h"

namespace berth::e2e {

struct Layer {
  std::vector<TarEntry> entries;
  Compression compression = Compression::kGzip;
};

enum class Format { kOci, kDocker };

struct ImageRecipe {
  std::vector<Layer> layers;
  nlohmann::json config = nlohmann::json::object();  // the "config" member: Env, Cmd, User, ...
  std::string architecture = "amd64";
  Format format = Format::kOci;
};

struct Blob {
  std::string media_type, content;
};

// What is pushed to, or served by, a registry. The last manifest is the one a tag names.
struct BuiltImage {
  std::string id;                     // digest of the config: the CRI's image id ("" for an index)
  std::map<std::string, Blob> blobs;  // by digest: config and layers
  std::vector<std::string> diff_ids;  // lowest first
  std::vector<Blob> manifests;        // of an index: the platforms' manifests, then the index
  std::string ManifestDigest() const { return Digest(manifests.back().content); }
};

BuiltImage Build(const ImageRecipe& recipe);

// An index over images of several platforms; entries with architecture "unknown" are attestations.
struct PlatformImage {
  std::string os, architecture, variant;
  BuiltImage image;
};
BuiltImage BuildIndex(const std::vector<PlatformImage>& platforms, Format format = Format::kOci);

// The probe alone, with passwd and group files (root; app 1000:1000; user 1001 "worker" in group
// 2000 "staff"): no shell, no libc. Entrypoint /probe, Cmd report, PATH and IMAGE_VARIABLE set.
ImageRecipe ProbeRecipe();

// Debian's static busybox with links for its common commands.
ImageRecipe BusyboxRecipe();

// Four layers, one of each compression, that exercise every rule of how layers stack, and the
// probe.
ImageRecipe LayersRecipe();

}  // namespace berth::e2e
