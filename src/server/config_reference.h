// The reference of the configuration, from the table that its parser reads. Pure.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace berth {

// berth.toml(5), in roff. `source` is "Berth" and its version.
std::string ConfigManPage(absl::string_view source);

// docs/configuration.md.
std::string ConfigMarkdown();

}  // namespace berth
