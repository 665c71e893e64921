// The address that the CRI's Exec, Attach and PortForward answer with, taken apart. Pure.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::cli {

struct StreamUrl {
  bool tls = false;
  std::string host;  // a name or an address, IPv6 without brackets
  std::string port;
  std::string target;  // path and query

  // "HOST:PORT", as a Host header has it.
  std::string Authority() const;
  // The address is of this machine: what listens there is known by the one-time token in the
  // target, so its certificate has nothing to add.
  bool IsLoopback() const;
};

// InvalidArgument for what is no http, https, ws or wss URL with a host. Errors leave the target
// out: it is a secret.
absl::StatusOr<StreamUrl> ParseStreamUrl(absl::string_view text);

}  // namespace berth::cli
