// Manifests, indexes and image configs from hostile registries: no input may crash the parsers.
#include <cstddef>
#include <cstdint>

#include "src/image/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto document = berth::ParseManifest(text, "");
  if (document.ok()) {
    if (const auto* index = std::get_if<berth::Index>(&*document)) {
      (void)berth::ChoosePlatform(*index, {.os = "linux", .architecture = "amd64"});
    }
  }
  (void)berth::ParseImageConfig(text);
  return 0;
}
