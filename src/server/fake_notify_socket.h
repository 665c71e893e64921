// The service manager's end of sd_notify(3), for tests: $NOTIFY_SOCKET names it as long as it
// lives.
#pragma once

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "src/base/unique_fd.h"

namespace berth {

class FakeNotifySocket {
 public:
  FakeNotifySocket() : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    // The kernel chooses an abstract name (unix(7), autobind).
    sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
    ::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(sa_family_t));
    socklen_t length = sizeof(address);
    ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &length);
    const std::string name(address.sun_path + 1, length - sizeof(sa_family_t) - 1);
    ::setenv("NOTIFY_SOCKET", ("@" + name).c_str(), 1);
  }
  ~FakeNotifySocket() { ::unsetenv("NOTIFY_SOCKET"); }
  FakeNotifySocket(const FakeNotifySocket&) = delete;
  FakeNotifySocket& operator=(const FakeNotifySocket&) = delete;

  // What has been sent since the last call.
  std::vector<std::string> Received() {
    std::vector<std::string> states;
    char text[4096];
    for (ssize_t size; (size = ::recv(socket_.get(), text, sizeof(text), MSG_DONTWAIT)) >= 0;)
      states.emplace_back(text, static_cast<size_t>(size));
    return states;
  }

 private:
  const UniqueFd socket_;
};

}  // namespace berth
