// Ids of pods, containers and temporary objects.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace berth {

// 64 lower-case hex characters from 32 random bytes (getrandom(2)).
std::string NewId();

// True for 64 lower-case hex characters.
bool IsFullId(absl::string_view id);

}  // namespace berth
