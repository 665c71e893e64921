// Messages of the Kubernetes channel protocols over WebSocket: a channel number in front of each,
// in some of them all in Base64. Pure; not thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace berth {

// Of a binary message: the client closes the channel whose number follows (v5.channel.k8s.io).
inline constexpr uint8_t kCloseChannel = 255;

struct ChannelFormat {
  bool base64 = false;     // text messages: an ASCII digit, then Base64
  bool can_close = false;  // kCloseChannel
  uint8_t channels = 0;    // how many there are
};

class ChannelSink {
 public:
  virtual ~ChannelSink() = default;
  virtual void OnChannelData(uint8_t channel, absl::string_view bytes) = 0;
  virtual void OnChannelClose(uint8_t channel) = 0;
};

// Takes messages apart as they arrive, in pieces of any length.
class ChannelDecoder {
 public:
  explicit ChannelDecoder(ChannelFormat format) : format_(format) {}

  // InvalidArgument: the client breaks the protocol, and the connection must end.
  absl::Status Feed(absl::string_view piece, bool text, bool ends_message, ChannelSink& sink);

 private:
  absl::Status FeedBase64(absl::string_view piece, bool ends_message, ChannelSink& sink);

  const ChannelFormat format_;
  bool in_message_ = false;
  uint8_t channel_ = 0;
  std::string quantum_;  // Base64 characters that do not make a group of four yet
  bool padded_ = false;  // the last group had its padding: the message has to end
};

// A message to the client.
std::string EncodeChannelMessage(ChannelFormat format, uint8_t channel, absl::string_view bytes);

}  // namespace berth
