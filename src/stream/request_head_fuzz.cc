// Heads of HTTP requests from strangers: no input may crash the parser, or be taken with a token
// that is none.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "src/stream/request_head.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  berth::RequestHead head;
  auto result = head.Feed(text.substr(0, size / 2));
  if (!result.has_value()) result = head.Feed(text.substr(size / 2));
  if (!result.has_value()) return 0;
  if (const auto* request = std::get_if<berth::UpgradeRequest>(&*result)) {
    if (request->token.size() != berth::wire::kTokenBytes) std::abort();
    if (request->ports.size() > berth::wire::kMaxSessionPorts) std::abort();
    (void)berth::SerializeSpdyUpgrade(*request);
  } else {
    (void)berth::SerializeRefusal(std::get<berth::HttpRefusal>(*result));
  }
  return 0;
}
