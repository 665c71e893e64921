#include "src/nri/wire.h"

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace berth::nri {
namespace {

constexpr size_t kFrameHeader = 8;     // connection, length
constexpr size_t kMessageHeader = 10;  // length, stream, type, flags

void Put32(uint32_t value, std::string* out) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<char>(value >> shift));
}

uint32_t Get32(absl::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

}  // namespace

std::string EncodeWireMessage(const WireMessage& message) {
  std::string bytes;
  bytes.reserve(kFrameHeader + kMessageHeader + message.payload.size());
  Put32(message.connection, &bytes);
  Put32(static_cast<uint32_t>(kMessageHeader + message.payload.size()), &bytes);
  Put32(static_cast<uint32_t>(message.payload.size()), &bytes);
  Put32(message.stream, &bytes);
  bytes.push_back(static_cast<char>(message.type));
  bytes.push_back(0);  // flags: those of a call that is no stream
  bytes += message.payload;
  return bytes;
}

absl::StatusOr<std::vector<WireMessage>> WireReader::Read(absl::string_view bytes) {
  absl::StrAppend(&frames_, bytes);
  RETURN_IF_ERROR(TakeFrames());
  std::vector<WireMessage> messages;
  for (const Service& service : {kPluginService, kRuntimeService})
    RETURN_IF_ERROR(TakeMessages(service.connection, &messages));
  return messages;
}

absl::Status WireReader::TakeFrames() {
  size_t at = 0;
  while (frames_.size() - at >= kFrameHeader) {
    const absl::string_view rest = absl::string_view(frames_).substr(at);
    const uint32_t connection = Get32(rest), length = Get32(rest.substr(4));
    if (connection != kPluginService.connection && connection != kRuntimeService.connection) {
      return absl::InvalidArgumentError(
          absl::StrCat("a frame of connection ", connection, ": there are 1 and 2"));
    }
    if (length > kMessageHeader + kMaxPayload)
      return absl::InvalidArgumentError(absl::StrCat("a frame of ", length, " bytes"));
    if (rest.size() < kFrameHeader + length) break;
    absl::StrAppend(&streams_[connection], rest.substr(kFrameHeader, length));
    at += kFrameHeader + length;
  }
  frames_.erase(0, at);
  return absl::OkStatus();
}

absl::Status WireReader::TakeMessages(uint32_t connection, std::vector<WireMessage>* messages) {
  std::string& stream = streams_[connection];
  size_t at = 0;
  while (stream.size() - at >= kMessageHeader) {
    const absl::string_view rest = absl::string_view(stream).substr(at);
    const uint32_t length = Get32(rest);
    const auto type = static_cast<uint8_t>(rest[8]);
    if (length > kMaxPayload)
      return absl::InvalidArgumentError(absl::StrCat("a message of ", length, " bytes"));
    if (type < 1 || type > 3)
      return absl::InvalidArgumentError(absl::StrCat("a message of type ", type));
    if (rest.size() < kMessageHeader + length) break;
    messages->push_back({.connection = connection,
                         .stream = Get32(rest.substr(4)),
                         .type = static_cast<WireMessage::Type>(type),
                         .payload = std::string(rest.substr(kMessageHeader, length))});
    at += kMessageHeader + length;
  }
  stream.erase(0, at);
  return absl::OkStatus();
}

}  // namespace berth::nri
