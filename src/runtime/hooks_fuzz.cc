// Hook files of oci-hooks(5): no input may crash the parser, and a hook that it accepts has an
// absolute path.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "src/runtime/hooks.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const berth::HookCriteria criteria = {.annotations = {{"example.com/key", "value"}, {"", "\xff"}},
                                        .command = "/bin/sh",
                                        .has_bind_mounts = true};
  berth::Hooks hooks;
  if (berth::AddMatchingHooks(text, criteria, &hooks).ok()) {
    for (const berth::Hook& hook : hooks.prestart) {
      if (hook.path.empty() || hook.path[0] != '/' || hook.env.empty()) abort();
    }
  }
  return 0;
}
