// CDI specs as JSON and as YAML, and names of devices: no input may crash the parsers, and what
// they accept can be applied.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "src/runtime/cdi.h"

namespace {

void Apply(const berth::CdiEdits& edits) {
  berth::ContainerSpec spec;
  const auto rules =
      berth::ApplyCdiEdits(edits, {.host_devices = {}, .user_namespace = true}, &spec);
  for (const berth::MountSpec& mount : spec.mounts) {
    if (mount.target.empty() || mount.target[0] != '/') abort();
  }
  (void)rules;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  for (const berth::CdiFormat format : {berth::CdiFormat::kJson, berth::CdiFormat::kYaml}) {
    const auto spec = berth::ParseCdiSpec(text, format);
    if (!spec.ok()) continue;
    Apply(spec->edits);
    for (const auto& [name, edits] : spec->devices) {
      if (!berth::CheckCdiDeviceName(spec->kind + "=" + name).ok()) abort();
      Apply(edits);
    }
  }
  (void)berth::CheckCdiDeviceName(text);
  return 0;
}
