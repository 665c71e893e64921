// berthd(8), as the build writes it. Pure.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace CLI {
class App;
}

namespace berth {

// In roff. `source` is "Berth" and its version.
std::string BerthdManPage(const CLI::App& program, absl::string_view source);

}  // namespace berth
