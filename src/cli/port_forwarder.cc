#include "src/cli/port_forwarder.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <utility>

#include "src/base/status_macros.h"
#include "src/cli/forwarded_connection.h"

namespace berth::cli {
namespace {

constexpr int kTickMs = 1000;

}  // namespace

PortForwarder::PortForwarder(std::vector<ListenSocket> listeners, Hooks hooks)
    : listeners_(std::move(listeners)), hooks_(std::move(hooks)) {}

PortForwarder::~PortForwarder() = default;

absl::Status PortForwarder::Run(Interrupt& interrupt, SessionSignals& signals) {
  while (true) {
    std::vector<pollfd> fds = {{.fd = interrupt.fd(), .events = POLLIN, .revents = 0},
                               {.fd = signals.fd(), .events = POLLIN, .revents = 0}};
    for (const ListenSocket& listener : listeners_)
      fds.push_back({.fd = full_ ? -1 : listener.fd.get(), .events = POLLIN, .revents = 0});
    const size_t first_connection = fds.size();
    for (const auto& connection : connections_) {
      fds.push_back(connection->LocalInterest());
      fds.push_back(connection->RemoteInterest());
    }
    poll(fds.data(), fds.size(), kTickMs);
    if (interrupt.Take() != 0) return absl::OkStatus();
    for (int signal = signals.Take(); signal != 0; signal = signals.Take()) {
      if (signal == SIGTSTP) raise(SIGSTOP);
      if (signal == SIGHUP || signal == SIGQUIT) return absl::OkStatus();
    }
    size_t index = first_connection;
    for (const auto& connection : connections_) {
      connection->Carry(fds[index].revents);
      index += 2;
    }
    for (size_t i = 0; i < listeners_.size(); ++i) {
      if (fds[2 + i].revents != 0) RETURN_IF_ERROR(Accept(listeners_[i]));
    }
    loop_.RunReady();
    const auto ended =
        connections_.remove_if([](const auto& connection) { return connection->done(); });
    if (ended > 0) full_ = false;
  }
}

// What goes wrong concerns one connection, except that the pod is gone.
absl::Status PortForwarder::Accept(const ListenSocket& listener) {
  UniqueFd local(accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!local.valid()) {
    const bool passing = errno == EAGAIN || errno == ECONNABORTED || errno == EINTR;
    if (passing) return absl::OkStatus();
    hooks_.on_failure(ErrnoStatus("accept", listener.address));
    full_ = !connections_.empty();  // out of descriptors: the next one waits for an end
    return full_ ? absl::OkStatus() : ErrnoStatus("accept", listener.address);
  }
  const absl::StatusOr<std::string> url = hooks_.open_session(listener.remote);
  if (absl::IsNotFound(url.status())) return url.status();
  if (!url.ok()) {
    hooks_.on_failure(url.status());
    return absl::OkStatus();
  }
  auto connection = ForwardedConnection::Start(loop_, *url, std::move(local), hooks_.on_failure);
  if (connection.ok()) {
    connections_.push_back(*std::move(connection));
  } else {
    hooks_.on_failure(connection.status());
  }
  return absl::OkStatus();
}

}  // namespace berth::cli
