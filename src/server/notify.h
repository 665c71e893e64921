// Tells the service manager how we are: sd_notify(3), by its documented datagram protocol.
#pragma once

#include "absl/strings/string_view.h"

namespace berth {

// "READY=1", "STOPPING=1"; nothing happens without $NOTIFY_SOCKET.
void NotifyServiceManager(absl::string_view state);

}  // namespace berth
