// What a person asks port-forward for: "[ADDRESS:][LOCAL:]REMOTE". Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::cli {

struct PortSpec {
  std::vector<std::string> addresses;  // to listen on, IPv6 without brackets
  uint16_t local = 0;                  // 0: a free one, the same on all addresses
  uint16_t remote = 0;
};

// "80" is 80:80, ":80" takes a free local port; ADDRESS is an IP address, IPv6 in brackets, or
// localhost, which is 127.0.0.1 and ::1 and the default. InvalidArgument.
absl::StatusOr<PortSpec> ParsePortSpec(absl::string_view text);

// "[::1]:80"
std::string FormatEndpoint(absl::string_view address, uint16_t port);

}  // namespace berth::cli
