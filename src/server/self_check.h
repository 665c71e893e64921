// Whether berthd serves: asked as a kubelet would ask.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace berth {

// A new connection to the unix socket `path` has its Status call answered within `patience`: the
// listener accepts, gRPC has a thread to serve with, and the node and its network can be looked at.
absl::Status CheckServing(const std::string& path, absl::Duration patience);

}  // namespace berth
