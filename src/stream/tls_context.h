// The certificate of the streaming address.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>

#include "absl/status/statusor.h"
#include "src/stream/asio.h"

namespace berth {

// From PEM: a chain, the leaf first, and its key. TLS 1.2 and later.
absl::StatusOr<std::unique_ptr<asio::ssl::context>> MakeTlsContext(absl::string_view chain,
                                                                   absl::string_view key);

}  // namespace berth
