// Tells the service manager how we are: sd_notify(3), by its documented datagram protocol.
#pragma once

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace berth {

// "READY=1", "STOPPING=1", "WATCHDOG=1"; nothing happens without $NOTIFY_SOCKET.
void NotifyServiceManager(absl::string_view state);

// RELOADING=1, with the time by which the manager tells one reload from the next. "READY=1" ends
// it.
void NotifyReloading();

// The manager ends us when it hears no WATCHDOG=1 for so long (sd_watchdog_enabled(3)); infinite
// where it does not watch this process.
absl::Duration WatchdogPatience();

}  // namespace berth
