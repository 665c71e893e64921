// Listening TCP sockets for port-forward.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"
#include "src/cli/port_spec.h"

namespace berth::cli {

struct ListenSocket {
  UniqueFd fd;  // non-blocking
  std::string address;
  uint16_t local = 0, remote = 0;
};

// One for each address of `spec`, all on the same port. An address that this node does not have
// (IPv6 switched off) is left out where the others work.
absl::StatusOr<std::vector<ListenSocket>> ListenOn(const PortSpec& spec);

}  // namespace berth::cli
