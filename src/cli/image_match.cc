#include "src/cli/image_match.h"

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "src/cli/failure.h"

namespace berth::cli {

absl::StatusOr<std::string> FindImageByPrefix(const ::runtime::v1::ListImagesResponse& images,
                                              absl::string_view prefix) {
  const absl::string_view hex = absl::StripPrefix(prefix, "sha256:");
  std::string found;
  for (const auto& image : images.images()) {
    if (hex.empty() || !absl::StartsWith(absl::StripPrefix(image.id(), "sha256:"), hex)) continue;
    if (!found.empty()) {
      return WithHint(
          absl::InvalidArgumentError("ambiguous: several images have an id that begins so"),
          "berth images --no-trunc shows the ids in full");
    }
    found = image.id();
  }
  if (found.empty()) {
    return WithHint(absl::NotFoundError("no such image"), "berth images lists the images");
  }
  return found;
}

}  // namespace berth::cli
