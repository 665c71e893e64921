#include "src/image/image_snapshot.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "src/base/id.h"
#include "src/base/json_fields.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/base/strict_json.h"
#include "src/image/digest.h"
#include "src/image/manifest.h"
#include "src/image/reference.h"

namespace berth {
namespace {

constexpr absl::string_view kIdPrefix = "sha256:";
constexpr size_t kShortestPrefix = 4;

bool IsIdPrefix(absl::string_view hex) {
  return hex.size() >= kShortestPrefix && hex.size() < 64 && IsLowerHex(hex);
}

absl::Status NotFound(absl::string_view reference) {
  return absl::NotFoundError(
      absl::StrCat("find image \"", EscapeForLog(reference.substr(0, 300)), "\": no such image"));
}

absl::StatusOr<Image> FindById(const ImageSnapshot& snapshot, absl::string_view hex,
                               absl::string_view reference) {
  const auto image = snapshot.images.find(absl::StrCat(kIdPrefix, hex));
  if (image == snapshot.images.end()) return NotFound(reference);
  return image->second;
}

absl::StatusOr<Image> FindByPrefix(const ImageSnapshot& snapshot, absl::string_view hex,
                                   absl::string_view reference) {
  const std::string prefix = absl::StrCat(kIdPrefix, hex);
  std::vector<std::string> ids;
  for (auto image = snapshot.images.lower_bound(prefix);
       image != snapshot.images.end() && absl::StartsWith(image->first, prefix); ++image) {
    ids.push_back(image->first);
  }
  if (ids.empty()) return NotFound(reference);
  if (ids.size() == 1) return snapshot.images.at(ids[0]);
  if (ids.size() > 5) ids.resize(5);
  return absl::InvalidArgumentError(absl::StrCat("find image \"", EscapeForLog(reference),
                                                 "\": ambiguous, it could be ",
                                                 absl::StrJoin(ids, " or ")));
}

// Overlayfs refuses the same directory twice in a stack. Of equal layers the topmost alone shows
// the same tree: what it holds and hides is all that the lower one holds and hides.
// It does not look at the mark of an opaque root either: what such a layer hides is left out.
std::vector<std::string> StackOf(const std::vector<int64_t>& layers,
                                 const std::set<int64_t>& opaque_roots) {
  std::vector<std::string> stack;
  for (auto layer = layers.begin(); layer != layers.end(); ++layer) {
    if (opaque_roots.count(*layer) > 0) stack.clear();
    if (std::find(layer + 1, layers.end(), *layer) == layers.end())
      stack.push_back(LayerPath(*layer));
  }
  return stack;
}

// None in a document that cannot be read: it was read when the image was pulled.
std::map<std::string, std::string> AnnotationsOf(const std::string& manifest) {
  const absl::StatusOr<nlohmann::json> json = ParseStrictJson(manifest, {}, "manifest");
  if (!json.ok()) return {};
  return StringMapMember(*json, "annotations").value_or(std::map<std::string, std::string>());
}

absl::StatusOr<Image> ImageOfRow(const ImageRow& row, const std::set<int64_t>& opaque_roots,
                                 std::vector<std::string>& diff_ids) {
  ASSIGN_OR_RETURN(ConfigDocument document, ParseImageConfig(row.config));
  for (const Digest& diff_id : document.diff_ids) diff_ids.push_back(diff_id.text());
  Image image{.id = row.id,
              .size_bytes = row.size_bytes,
              .annotations = AnnotationsOf(row.manifest),
              .config = std::move(document.config),
              .layers = StackOf(row.layers, opaque_roots)};
  for (const std::string& name : row.names) {
    auto& list = absl::StrContains(name, '@') ? image.repo_digests : image.repo_tags;
    list.push_back(name);
  }
  return image;
}

}  // namespace

std::string LayerPath(int64_t number) { return absl::StrCat("layers/", number); }

ImageSnapshot MakeSnapshot(const std::vector<LayerRow>& layers, const std::vector<ImageRow>& images,
                           std::vector<std::string>& unreadable) {
  ImageSnapshot snapshot;
  std::set<int64_t> opaque_roots;
  for (const LayerRow& layer : layers) {
    snapshot.usage.used_bytes += layer.size_bytes;
    snapshot.usage.inodes += layer.inodes;
    snapshot.layers[layer.number].row = layer;
    if (layer.opaque_root) opaque_roots.insert(layer.number);
  }
  for (const ImageRow& row : images) {
    std::vector<std::string> diff_ids;
    absl::StatusOr<Image> image = ImageOfRow(row, opaque_roots, diff_ids);
    if (!image.ok()) {
      unreadable.push_back(row.id);
      continue;
    }
    for (const std::string& name : row.names) snapshot.names[name] = row.id;
    snapshot.layer_numbers[row.id] = row.layers;
    for (size_t i = 0; i < row.layers.size(); ++i) {
      SnapshotLayer& layer = snapshot.layers[row.layers[i]];
      if (i < diff_ids.size()) layer.diff_id = diff_ids[i];
      if (layer.images.empty() || layer.images.back() != row.id) layer.images.push_back(row.id);
    }
    snapshot.images[row.id] = *std::move(image);
  }
  return snapshot;
}

absl::StatusOr<Image> FindImage(const ImageSnapshot& snapshot, absl::string_view reference) {
  absl::string_view hex = reference;
  const bool says_id = absl::ConsumePrefix(&hex, kIdPrefix);
  if (IsFullId(hex)) return FindById(snapshot, hex, reference);
  if (says_id)
    return IsIdPrefix(hex) ? FindByPrefix(snapshot, hex, reference) : NotFound(reference);
  if (const absl::StatusOr<Reference> parsed = ParseReference(reference); parsed.ok()) {
    const auto name = snapshot.names.find(parsed->Name());
    if (name != snapshot.names.end()) return snapshot.images.at(name->second);
  }
  if (IsIdPrefix(hex)) return FindByPrefix(snapshot, hex, reference);
  return NotFound(reference);
}

}  // namespace berth
