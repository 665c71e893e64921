#include "src/image/image_snapshot.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "src/base/id.h"
#include "src/base/log.h"
#include "src/image/reference.h"

namespace berth {
namespace {

constexpr absl::string_view kIdPrefix = "sha256:";
constexpr size_t kShortestPrefix = 4;

bool IsIdPrefix(absl::string_view hex) {
  return hex.size() >= kShortestPrefix && hex.size() < 64 &&
         std::all_of(hex.begin(), hex.end(),
                     [](char c) { return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f'); });
}

absl::Status NotFound(absl::string_view reference) {
  return absl::NotFoundError(
      absl::StrCat("find image \"", EscapeForLog(reference.substr(0, 300)), "\": no such image"));
}

absl::StatusOr<Image> FindById(const ImageSnapshot& snapshot, absl::string_view hex, absl::string_view reference) {
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
                                                 "\": ambiguous, it could be ", absl::StrJoin(ids, " or ")));
}

}  // namespace

absl::StatusOr<Image> FindImage(const ImageSnapshot& snapshot, absl::string_view reference) {
  absl::string_view hex = reference;
  const bool says_id = absl::ConsumePrefix(&hex, kIdPrefix);
  if (IsFullId(hex)) return FindById(snapshot, hex, reference);
  if (says_id) return IsIdPrefix(hex) ? FindByPrefix(snapshot, hex, reference) : NotFound(reference);
  if (const absl::StatusOr<Reference> parsed = ParseReference(reference); parsed.ok()) {
    const auto name = snapshot.names.find(parsed->Name());
    if (name != snapshot.names.end()) return snapshot.images.at(name->second);
  }
  if (IsIdPrefix(hex)) return FindByPrefix(snapshot, hex, reference);
  return NotFound(reference);
}

}  // namespace berth
