// TCP listeners on numeric addresses.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/unique_fd.h"

namespace berth {

struct TcpListener {
  UniqueFd socket;
  std::string address;       // "127.0.0.1:34567", "[::1]:34567": with the port that it has
  bool any_address = false;  // it is no address to connect to: 0.0.0.0 or ::
  bool loopback = false;     // only this node reaches it: 127.0.0.0/8 or ::1
};

// Binds and listens on "127.0.0.1:10010" or "[::1]:0" (0: a free port). InvalidArgument: no such
// address; else what bind(2) says.
absl::StatusOr<TcpListener> ListenTcp(absl::string_view address);

}  // namespace berth
