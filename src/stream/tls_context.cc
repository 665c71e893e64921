#include "src/stream/tls_context.h"

#include <openssl/ssl.h>

#include "absl/strings/str_cat.h"

namespace berth {

absl::StatusOr<std::unique_ptr<asio::ssl::context>> MakeTlsContext(absl::string_view chain,
                                                                   absl::string_view key) {
  auto context = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  ErrorCode error;
  context->use_certificate_chain(asio::buffer(chain.data(), chain.size()), error);
  if (error)
    return absl::InvalidArgumentError(absl::StrCat("the certificate chain: ", error.message()));
  context->use_private_key(asio::buffer(key.data(), key.size()), asio::ssl::context::pem, error);
  if (error) return absl::InvalidArgumentError(absl::StrCat("the private key: ", error.message()));
  SSL_CTX* const native = context->native_handle();
  if (SSL_CTX_check_private_key(native) != 1)
    return absl::InvalidArgumentError("the private key: it is not the certificate's");
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // One connection, never a second: tickets and a cache are of no use.
  SSL_CTX_set_options(native, SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  return context;
}

}  // namespace berth
