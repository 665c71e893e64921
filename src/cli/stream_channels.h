// The channels of remotecommand over WebSocket (v4.channel.k8s.io, v5.channel.k8s.io): the first
// byte of each message.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace berth::cli {

inline constexpr char kV5Protocol[] = "v5.channel.k8s.io";
inline constexpr char kV4Protocol[] = "v4.channel.k8s.io";

enum Channel : unsigned char {
  kStdinChannel = 0,
  kStdoutChannel = 1,
  kStderrChannel = 2,
  kErrorChannel = 3,
  kResizeChannel = 4,
  kCloseChannel = 255,  // v5: the payload names the channel that has ended
};

inline std::string ChannelMessage(unsigned char channel, absl::string_view payload) {
  std::string message(1, static_cast<char>(channel));
  message.append(payload.data(), payload.size());
  return message;
}

}  // namespace berth::cli
