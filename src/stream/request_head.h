// The head of a client's HTTP request: its bytes, as they arrive, become what it asks for or the
// answer that refuses it. Pure; not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/stream/session_protocol.h"

namespace berth {

inline constexpr size_t kMaxHeadBytes = 16 << 10;
inline constexpr size_t kMaxHeadFields = 100;

// An answer that ends the connection.
struct HttpRefusal {
  int status = 0;
  std::string message;  // for people, without the newline
  std::vector<std::pair<std::string, std::string>> headers;
};

// Names of the protocols below: docs/formats/stream-protocol.md.
enum class CommandProtocol { kV1, kV2, kV3, kV4, kV5 };

struct UpgradeRequest {
  wire::SessionKind kind = wire::SessionKind::kExec;
  std::string token;
  bool websocket = false;  // else SPDY/3.1
  // What the answer names as chosen; "" if the client named none (WebSocket only).
  std::string protocol;
  CommandProtocol command = CommandProtocol::kV1;  // exec and attach
  bool base64 = false;                             // WebSocket
  bool tunnel = false;                             // SPDY/3.1 inside of WebSocket messages
  std::vector<uint16_t> ports;                     // of the query
};

using HeadResult = std::variant<UpgradeRequest, HttpRefusal>;

class RequestHead {
 public:
  // nullopt: more is needed. Afterwards head() and rest() are what came, and it must not be fed
  // again.
  std::optional<HeadResult> Feed(absl::string_view bytes);
  // The head itself, with the empty line.
  absl::string_view head() const { return absl::string_view(bytes_).substr(0, head_bytes_); }
  absl::string_view rest() const { return absl::string_view(bytes_).substr(head_bytes_); }

 private:
  std::string bytes_;
  size_t head_bytes_ = 0;
};

// The bytes of an answer without upgrade.
std::string SerializeRefusal(const HttpRefusal& refusal);
// The bytes of the answer that upgrades to SPDY/3.1.
std::string SerializeSpdyUpgrade(const UpgradeRequest& request);

}  // namespace berth
