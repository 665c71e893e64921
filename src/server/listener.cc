#include "src/server/listener.h"

#include <grpcpp/server_posix.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cstring>

#include "absl/time/clock.h"

namespace berth {

Listener::Listener(UniqueFd socket, grpc::Server& server, const Log& log)
    : socket_(std::move(socket)), stop_(eventfd(0, EFD_CLOEXEC)), server_(server), log_(log) {
  thread_ = std::thread([this] { Run(); });
}

Listener::~Listener() {
  eventfd_write(stop_.get(), 1);
  thread_.join();
}

void Listener::Run() {
  while (true) {
    pollfd ready[2] = {{socket_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (poll(ready, 2, -1) < 0) continue;
    if (ready[1].revents != 0) return;
    const int connection = accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection >= 0) {
      grpc::AddInsecureChannelFromFd(&server_, connection);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      log_.Error("connection not accepted", {{"error", strerror(errno)}});
      absl::SleepFor(
          absl::Milliseconds(100));  // the cause does not go away by asking again at once
    }
  }
}

}  // namespace berth
