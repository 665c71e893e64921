// berth-stream: one connection of a client of Exec, Attach or PortForward. Started by berthd, which
// it outlives (docs/formats/stream-protocol.md).
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>

#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/stream/confine.h"
#include "src/stream/session.h"
#include "src/stream/session_protocol.h"
#include "src/stream/tls_context.h"

namespace berth {
namespace {

constexpr size_t kMaxPem = 1 << 20;

struct Options {
  bool tls = false;
  int64_t idle_timeout_seconds = 4 * 60 * 60;
};

absl::StatusOr<std::unique_ptr<asio::ssl::context>> LoadTls() {
  const UniqueFd chain_fd(wire::kCertificateFd), key_fd(wire::kPrivateKeyFd);
  ASSIGN_OR_RETURN(const std::string chain, ReadFd(chain_fd.get(), kMaxPem, "certificate"));
  ASSIGN_OR_RETURN(const std::string key, ReadFd(key_fd.get(), kMaxPem, "private key"));
  return MakeTlsContext(chain, key);
}

// Has the event loop make what it will need (epoll, its timer, its wake-up): afterwards it may not.
void Prepare(asio::io_context& io) {
  asio::steady_timer timer(io, std::chrono::seconds(0));
  timer.async_wait([](const ErrorCode&) {});
  io.run();
  io.restart();
}

absl::Status Run(const Options& options) {
  std::unique_ptr<asio::ssl::context> tls;
  if (options.tls) {
    ASSIGN_OR_RETURN(tls, LoadTls());
  }
  asio::io_context io(1);
  Prepare(io);
  RETURN_IF_ERROR(ConfineStream());
  asio::co_spawn(io,
                 ServeClient(io, UniqueFd(wire::kClientFd), UniqueFd(wire::kControlFd),
                             {.tls = tls.get(),
                              .idle_timeout = std::chrono::seconds(options.idle_timeout_seconds)}),
                 asio::detached);
  io.run();
  // Coroutines that are left refer to what is gone.
  ::_exit(0);
}

}  // namespace
}  // namespace berth

int main(int argc, char** argv) {
  CLI::App app("Serves one connection of the streaming address; berthd starts it.", "berth-stream");
  berth::Options options;
  app.add_flag("--tls", options.tls, "speak TLS with the certificate of fd 5 and the key of fd 6");
  app.add_option("--idle-timeout-seconds", options.idle_timeout_seconds,
                 "end a session on which no byte was sent for this long")
      ->check(CLI::Range(int64_t{1}, int64_t{365} * 24 * 60 * 60))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  ::signal(SIGPIPE, SIG_IGN);
  const absl::Status status = berth::Run(options);
  berth::Log().Error("berth-stream cannot serve", {{"cause", status.message()}});
  return 1;
}
