#include "src/stream/channel_codec.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace berth {

absl::Status ChannelDecoder::FeedBase64(absl::string_view piece, bool ends_message,
                                        ChannelSink& sink) {
  quantum_.append(piece.data(), piece.size());
  const size_t whole = ends_message ? quantum_.size() : quantum_.size() / 4 * 4;
  if (whole == 0) return absl::OkStatus();
  if (padded_) return absl::InvalidArgumentError("WebSocket message: Base64 goes on after its end");
  const std::string encoded = quantum_.substr(0, whole);
  quantum_.erase(0, whole);
  padded_ = encoded.back() == '=';
  std::string decoded;
  if (!absl::Base64Unescape(encoded, &decoded))
    return absl::InvalidArgumentError("WebSocket message: not Base64");
  if (!decoded.empty()) sink.OnChannelData(channel_, decoded);
  return absl::OkStatus();
}

absl::Status ChannelDecoder::Feed(absl::string_view piece, bool text, bool ends_message,
                                  ChannelSink& sink) {
  if (text != format_.base64) {
    return absl::InvalidArgumentError(format_.base64 ? "WebSocket message: text is spoken here"
                                                     : "WebSocket message: binary is spoken here");
  }
  if (!in_message_) {
    if (piece.empty()) {
      if (!ends_message) return absl::OkStatus();
      return absl::InvalidArgumentError("WebSocket message: no channel");
    }
    channel_ = static_cast<uint8_t>(piece.front());
    if (format_.base64) channel_ = static_cast<uint8_t>(channel_ - '0');
    const bool closing = format_.can_close && channel_ == kCloseChannel;
    if (!closing && channel_ >= format_.channels)
      return absl::InvalidArgumentError(absl::StrCat("WebSocket message: channel ", channel_));
    piece.remove_prefix(1);
    in_message_ = true;
    quantum_.clear();
    padded_ = false;
  }
  in_message_ = !ends_message;
  if (format_.base64) return FeedBase64(piece, ends_message, sink);
  if (!format_.can_close || channel_ != kCloseChannel) {
    if (!piece.empty()) sink.OnChannelData(channel_, piece);
    return absl::OkStatus();
  }
  for (const char channel : piece) {
    if (static_cast<uint8_t>(channel) >= format_.channels)
      return absl::InvalidArgumentError("WebSocket message: closes no channel");
    sink.OnChannelClose(static_cast<uint8_t>(channel));
  }
  return absl::OkStatus();
}

std::string EncodeChannelMessage(ChannelFormat format, uint8_t channel, absl::string_view bytes) {
  if (format.base64)
    return absl::StrCat(std::string(1, static_cast<char>('0' + channel)),
                        absl::Base64Escape(bytes));
  std::string message;
  message.reserve(bytes.size() + 1);
  message.push_back(static_cast<char>(channel));
  message.append(bytes.data(), bytes.size());
  return message;
}

}  // namespace berth
