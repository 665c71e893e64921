// The bytes between a runtime and an NRI plugin: ttrpc messages (containerd/ttrpc, PROTOCOL.md) of
// two connections, multiplexed on one stream (containerd/nri, pkg/net/multiplex). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::nri {

// Who is called on which of the two connections.
struct Service {
  uint32_t connection;
  const char* name;
};
inline constexpr Service kPluginService = {1, "nri.pkg.api.v1alpha1.Plugin"};
inline constexpr Service kRuntimeService = {2, "nri.pkg.api.v1alpha1.Runtime"};

inline constexpr size_t kMaxPayload = 4 << 20;  // of a message, in bytes

struct WireMessage {
  enum class Type : uint8_t { kRequest = 1, kResponse = 2, kData = 3 };
  uint32_t connection = 0;
  uint32_t stream = 0;  // odd: of the client's choice; an answer has that of its request
  Type type = Type::kRequest;
  std::string payload;  // ttrpc.Request or ttrpc.Response
};

// `message.payload` has kMaxPayload at most.
std::string EncodeWireMessage(const WireMessage& message);

// Takes a stream as it comes, and gives the messages that are whole.
class WireReader {
 public:
  // InvalidArgument: a connection or a type that there is not, a message that is too long. Nothing
  // can be read behind that.
  absl::StatusOr<std::vector<WireMessage>> Read(absl::string_view bytes);

 private:
  absl::Status TakeFrames();
  absl::Status TakeMessages(uint32_t connection, std::vector<WireMessage>* messages);

  std::string frames_;                       // not taken apart yet
  std::map<uint32_t, std::string> streams_;  // of each connection, likewise
};

}  // namespace berth::nri
