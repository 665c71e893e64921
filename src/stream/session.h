// One connection of a client from its first byte to its last.
#pragma once

#include <chrono>

#include <boost/asio/ssl/context.hpp>

#include "src/base/unique_fd.h"
#include "src/stream/asio.h"

namespace berth {

struct SessionOptions {
  asio::ssl::context* tls = nullptr;  // nullptr: plain HTTP
  std::chrono::seconds idle_timeout;
};

// Serves until the session is over or the client is gone. Coroutines that it started may still be
// there; they end with the io_context, which must not run any more.
asio::awaitable<void> ServeClient(asio::io_context& io, UniqueFd client, UniqueFd control,
                                  SessionOptions options);

}  // namespace berth
