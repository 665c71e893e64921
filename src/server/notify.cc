#include "src/server/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "src/base/unique_fd.h"

namespace berth {

void NotifyServiceManager(absl::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address = {};
  if (path == nullptr || std::strlen(path) >= sizeof(address.sun_path)) return;
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path);
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const socklen_t length =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
  // The manager is told as a courtesy; that it is not listening is no reason to fail.
  ::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL,
           reinterpret_cast<const sockaddr*>(&address), length);
}

void NotifyReloading() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  NotifyServiceManager(absl::StrCat("RELOADING=1\nMONOTONIC_USEC=",
                                    absl::ToInt64Microseconds(absl::DurationFromTimespec(now))));
}

absl::Duration WatchdogPatience() {
  const char* text = std::getenv("WATCHDOG_USEC");
  const char* watched = std::getenv("WATCHDOG_PID");
  int64_t microseconds = 0, pid = 0;
  if (text == nullptr || !absl::SimpleAtoi(text, &microseconds) || microseconds <= 0)
    return absl::InfiniteDuration();
  if (watched != nullptr && (!absl::SimpleAtoi(watched, &pid) || pid != getpid()))
    return absl::InfiniteDuration();
  return absl::Microseconds(microseconds);
}

}  // namespace berth
