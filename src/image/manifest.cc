#include "src/image/manifest.h"

#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/json_fields.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/base/strict_json.h"

namespace berth {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxIndexEntries = 1000;
constexpr int64_t kMaxBlobBytes = int64_t{1} << 42;

enum class Kind { kManifest, kIndex };
struct DocumentType {
  absl::string_view media_type;
  Kind kind;
};
constexpr std::array kDocumentTypes = {
    DocumentType{"application/vnd.oci.image.index.v1+json", Kind::kIndex},
    DocumentType{"application/vnd.oci.image.manifest.v1+json", Kind::kManifest},
    DocumentType{"application/vnd.docker.distribution.manifest.list.v2+json", Kind::kIndex},
    DocumentType{"application/vnd.docker.distribution.manifest.v2+json", Kind::kManifest},
};

// The compression that a layer's type names is not relied on: the bytes themselves say it.
constexpr std::array<absl::string_view, 10> kLayerTypes = {
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
};

constexpr std::array<absl::string_view, 2> kConfigTypes = {
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
};

template <typename List>
bool Contains(const List& list, absl::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

const DocumentType* FindDocumentType(absl::string_view media_type) {
  for (const DocumentType& type : kDocumentTypes) {
    if (type.media_type == media_type) return &type;
  }
  return nullptr;
}

absl::StatusOr<Descriptor> ParseDescriptor(const Json& json) {
  if (!json.is_object()) return absl::InvalidArgumentError("descriptor: expected an object");
  Descriptor descriptor;
  ASSIGN_OR_RETURN(descriptor.media_type, StringMember(json, "mediaType"));
  ASSIGN_OR_RETURN(const std::string digest, StringMember(json, "digest"));
  ASSIGN_OR_RETURN(descriptor.digest, Digest::Parse(digest));
  if (FindMember(json, "size") == nullptr) return absl::InvalidArgumentError("descriptor: no size");
  ASSIGN_OR_RETURN(descriptor.size, SizeMember(json, "size"));
  if (descriptor.size > kMaxBlobBytes) {
    return absl::ResourceExhaustedError(absl::StrCat("descriptor ", digest, ": ", descriptor.size,
                                                     " bytes, more than ", kMaxBlobBytes));
  }
  return descriptor;
}

absl::Status CheckSize(const Descriptor& descriptor, absl::string_view what, size_t limit) {
  if (descriptor.size <= static_cast<int64_t>(limit)) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(what, " ", descriptor.digest.text(), ": ",
                                                   descriptor.size, " bytes, more than ", limit));
}

absl::StatusOr<Manifest> ParseImageManifest(const Json& json) {
  Manifest manifest;
  const Json* config = FindMember(json, "config");
  const Json* layers = FindMember(json, "layers");
  if (config == nullptr || layers == nullptr || !layers->is_array()) {
    return absl::InvalidArgumentError("manifest: config and a list of layers are required");
  }
  if (layers->size() > kMaxLayers) {
    return absl::ResourceExhaustedError(
        absl::StrCat("manifest: ", layers->size(), " layers, more than ", kMaxLayers));
  }
  ASSIGN_OR_RETURN(manifest.config, ParseDescriptor(*config));
  RETURN_IF_ERROR(CheckSize(manifest.config, "config", kMaxConfigBytes));
  if (!manifest.config.media_type.empty() && !Contains(kConfigTypes, manifest.config.media_type)) {
    return absl::UnimplementedError(absl::StrCat("manifest: config type \"",
                                                 EscapeForLog(manifest.config.media_type),
                                                 "\" is not that of a container image"));
  }
  if (manifest.config.digest.algorithm() != "sha256") {
    return absl::UnimplementedError(
        "manifest: the config's digest, which names the image, must be sha256");
  }
  for (const Json& item : *layers) {
    ASSIGN_OR_RETURN(Descriptor layer, ParseDescriptor(item));
    if (!layer.media_type.empty() && !Contains(kLayerTypes, layer.media_type)) {
      return absl::UnimplementedError(absl::StrCat(
          "manifest: layer type \"", EscapeForLog(layer.media_type), "\" is not supported"));
    }
    manifest.layers.push_back(std::move(layer));
  }
  return manifest;
}

absl::StatusOr<Index> ParseIndex(const Json& json) {
  const Json* manifests = FindMember(json, "manifests");
  if (manifests == nullptr || !manifests->is_array()) {
    return absl::InvalidArgumentError("index: a list of manifests is required");
  }
  if (manifests->size() > kMaxIndexEntries) {
    return absl::ResourceExhaustedError(
        absl::StrCat("index: ", manifests->size(), " manifests, more than ", kMaxIndexEntries));
  }
  Index index;
  for (const Json& item : *manifests) {
    IndexEntry entry;
    ASSIGN_OR_RETURN(entry.manifest, ParseDescriptor(item));
    if (const Json* platform = FindMember(item, "platform"); platform != nullptr) {
      entry.has_platform = true;
      ASSIGN_OR_RETURN(entry.platform.os, StringMember(*platform, "os"));
      ASSIGN_OR_RETURN(entry.platform.architecture, StringMember(*platform, "architecture"));
      ASSIGN_OR_RETURN(entry.platform.variant, StringMember(*platform, "variant"));
    }
    index.entries.push_back(std::move(entry));
  }
  return index;
}

// What the document is, from its own mediaType, the HTTP content type and its members, which must
// not disagree.
absl::StatusOr<Kind> KindOf(const Json& json, absl::string_view content_type) {
  ASSIGN_OR_RETURN(const std::string own, StringMember(json, "mediaType"));
  const bool has_layers = json.contains("layers"), has_manifests = json.contains("manifests");
  if (has_layers && has_manifests) {
    return absl::InvalidArgumentError(
        "manifest: both layers and manifests, so its meaning is ambiguous");
  }
  const DocumentType* by_content = FindDocumentType(content_type);
  const DocumentType* by_own = FindDocumentType(own);
  if (!own.empty() && by_own == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("manifest: media type \"", EscapeForLog(own), "\" is not supported"));
  }
  if (by_own != nullptr && by_content != nullptr && by_own != by_content) {
    return absl::InvalidArgumentError(
        absl::StrCat("manifest: its media type ", own, " is not the content type ", content_type));
  }
  const DocumentType* type = by_own != nullptr ? by_own : by_content;
  if (type != nullptr) return type->kind;
  if (has_layers) return Kind::kManifest;
  if (has_manifests) return Kind::kIndex;
  return absl::InvalidArgumentError("manifest: neither layers nor manifests");
}

absl::Status CheckSchemaVersion(const Json& json, absl::string_view content_type) {
  const Json* version = FindMember(json, "schemaVersion");
  const bool is_one = version != nullptr && *version == 1;
  if (is_one ||
      absl::StartsWith(content_type, "application/vnd.docker.distribution.manifest.v1+")) {
    return absl::UnimplementedError(
        "manifest: Docker schema 1 is not supported; push the image again");
  }
  if (version == nullptr || *version != 2) {
    return absl::InvalidArgumentError("manifest: schemaVersion is not 2");
  }
  return absl::OkStatus();
}

}  // namespace

std::string AcceptedManifestTypes() {
  return absl::StrJoin(kDocumentTypes, ", ", [](std::string* out, const DocumentType& type) {
    absl::StrAppend(out, type.media_type);
  });
}

absl::StatusOr<std::variant<Manifest, Index>> ParseManifest(absl::string_view text,
                                                            absl::string_view content_type) {
  ASSIGN_OR_RETURN(const Json json,
                   ParseStrictJson(text, {.bytes = kMaxManifestBytes}, "manifest"));
  if (!json.is_object()) return absl::InvalidArgumentError("manifest: expected a JSON object");
  const absl::string_view type =
      absl::StripAsciiWhitespace(content_type.substr(0, content_type.find(';')));
  RETURN_IF_ERROR(CheckSchemaVersion(json, type));
  ASSIGN_OR_RETURN(const Kind kind, KindOf(json, type));
  if (kind == Kind::kIndex) return ParseIndex(json);
  return ParseImageManifest(json);
}

absl::StatusOr<Descriptor> ChoosePlatform(const Index& index, const Platform& host) {
  const IndexEntry* best = nullptr;
  int best_score = -1;
  std::vector<std::string> seen;
  for (const IndexEntry& entry : index.entries) {
    const std::optional<int> score =
        entry.has_platform ? PlatformScore(host, entry.platform) : std::optional<int>(0);
    if (entry.has_platform && seen.size() < 20) seen.push_back(PlatformName(entry.platform));
    if (score.has_value() && *score > best_score) {
      best = &entry;
      best_score = *score;
    }
  }
  if (best != nullptr) return best->manifest;
  return absl::NotFoundError(absl::StrCat("no match for platform ", PlatformName(host),
                                          " among: ", EscapeForLog(absl::StrJoin(seen, ", "))));
}

}  // namespace berth
