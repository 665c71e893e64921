// Layers are unpacked independently of each other. A layer whose archive leaves out the parent
// directories of its entries means those of the layers below: this gives them the owner, mode and
// time that they have there.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace berth {

// `implied` are directories of `layer`, parents first (Unpacker::implied_directories). `below` are
// the layers under it, lowest first. A directory that none of them has stays as it is.
// Unimplemented if one is a symbolic link below: its entries would belong elsewhere.
absl::Status AdoptDirectories(int layer, const std::vector<std::string>& implied,
                              const std::vector<int>& below);

}  // namespace berth
