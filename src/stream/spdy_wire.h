// Numbers of SPDY/3.1 framing. All integers on the wire are big-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace berth {

inline constexpr uint16_t kSpdyVersion = 3;  // also of SPDY/3.1
inline constexpr size_t kSpdyHeadBytes = 8;
inline constexpr uint32_t kSpdyStreamMask = 0x7fffffff;
inline constexpr int64_t kSpdyFirstWindow = 64 << 10;
inline constexpr int64_t kSpdyMaxWindow = 0x7fffffff;

enum class SpdyType : uint16_t {
  kSynStream = 1,
  kSynReply = 2,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kHeaders = 8,
  kWindowUpdate = 9,
};

enum SpdyFlag : uint8_t { kSpdyFin = 1, kSpdyUnidirectional = 2 };

enum class SpdyReset : uint32_t {
  kProtocolError = 1,
  kInvalidStream = 2,
  kRefusedStream = 3,
  kCancel = 5,
  kInternalError = 6,
  kFlowControlError = 7,
  kStreamAlreadyClosed = 9,
};

inline constexpr uint32_t kSpdySettingFirstWindow = 7;

inline uint32_t ReadU32(absl::string_view bytes, size_t at) {
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data() + at);
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | p[3];
}

inline void AppendU32(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

inline std::string SpdyControlFrame(SpdyType type, uint8_t flags, absl::string_view payload) {
  std::string frame;
  frame.reserve(kSpdyHeadBytes + payload.size());
  AppendU32(frame, uint32_t{0x8000u | kSpdyVersion} << 16 | static_cast<uint32_t>(type));
  AppendU32(frame, uint32_t{flags} << 24 | static_cast<uint32_t>(payload.size()));
  frame.append(payload.data(), payload.size());
  return frame;
}

inline std::string SpdyDataFrame(uint32_t stream, uint8_t flags, absl::string_view payload) {
  std::string frame;
  frame.reserve(kSpdyHeadBytes + payload.size());
  AppendU32(frame, stream);
  AppendU32(frame, uint32_t{flags} << 24 | static_cast<uint32_t>(payload.size()));
  frame.append(payload.data(), payload.size());
  return frame;
}

}  // namespace berth
