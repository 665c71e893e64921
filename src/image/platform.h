// The platform that an image is made for, and which of several this machine should run. Pure but
// HostPlatform.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace berth {

struct Platform {
  std::string os, architecture, variant;  // GOOS, GOARCH and "v7", "v8", ...; empty: not said
};

// This machine: uname(2)'s machine name in the words of OCI ("x86_64" -> "amd64").
Platform HostPlatform();
Platform PlatformOfMachine(absl::string_view uname_machine);

// How well `host` runs an image for `image`: nothing if it cannot, else the higher the better.
std::optional<int> PlatformScore(const Platform& host, const Platform& image);

// "linux/arm64/v8"
std::string PlatformName(const Platform& platform);

}  // namespace berth
