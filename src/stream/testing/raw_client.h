// A client without manners, for tests of berth-stream: it sends what it is told, and reads frames.
// Every wait ends after 20 s.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "src/base/unique_fd.h"
#include "src/stream/spdy_headers.h"
#include "src/stream/spdy_parser.h"
#include "src/stream/spdy_wire.h"

namespace berth::testing_stream {

class RawClient {
 public:
  explicit RawClient(UniqueFd fd) : fd_(std::move(fd)) {
    const timeval limit = {.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  }

  // False: the other side is gone.
  bool Send(absl::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  // What is there, "" at the end.
  std::string Receive(size_t max = 64 << 10) {
    std::string bytes(max, '\0');
    const ssize_t n = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
    bytes.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return bytes;
  }
  // The head of an answer; what follows it stays.
  std::string ReceiveHead() {
    while (rest_.find("\r\n\r\n") == std::string::npos) {
      const std::string more = Receive(4096);
      if (more.empty()) return std::exchange(rest_, "");
      rest_ += more;
    }
    const size_t end = rest_.find("\r\n\r\n") + 4;
    const std::string head = rest_.substr(0, end);
    rest_.erase(0, end);
    return head;
  }
  std::string ReceiveAll() {
    std::string all = std::exchange(rest_, "");
    for (std::string more; !(more = Receive()).empty();) all += more;
    return all;
  }
  // Bytes behind the head that were read with it, then what comes.
  std::string Next() { return rest_.empty() ? Receive() : std::exchange(rest_, ""); }

  void Close() { fd_.reset(); }
  // The connection breaks: the other side gets a reset.
  void Break() {
    const linger now = {.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    fd_.reset();
  }
  void FinishSending() { ::shutdown(fd_.get(), SHUT_WR); }
  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
  std::string rest_;
};

inline std::string SpdyUpgradeOf(absl::string_view path, absl::string_view protocol) {
  return absl::StrCat("POST ", path,
                      " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
                      "X-Stream-Protocol-Version: ",
                      protocol, "\r\nContent-Length: 0\r\n\r\n");
}

inline std::string WebSocketUpgradeOf(absl::string_view path, absl::string_view protocol) {
  return absl::StrCat(
      "GET ", path,
      " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
      protocol.empty() ? "" : absl::StrCat("Sec-WebSocket-Protocol: ", protocol, "\r\n"), "\r\n");
}

// SPDY/3.1 over bytes that go through `send` and come by Feed.
class SpdyClient : private SpdyFrameSink {
 public:
  struct Stream {
    std::string data;
    bool replied = false, finished = false, reset = false;
  };

  // The frame that opens the next stream.
  std::string Open(const SpdyHeaders& headers, uint8_t flags = 0) {
    std::string payload;
    AppendU32(payload, next_);
    AppendU32(payload, 0);
    payload += std::string(2, '\0');
    payload += deflater_.Deflate(SerializeSpdyHeaders(headers));
    last_ = next_;
    next_ += 2;
    return SpdyControlFrame(SpdyType::kSynStream, flags, payload);
  }
  uint32_t last() const { return last_; }

  absl::Status Feed(absl::string_view bytes) { return parser_.Feed(bytes, *this); }
  Stream& operator[](uint32_t id) { return streams_[id]; }

  std::set<uint32_t> pings;
  std::map<uint32_t, uint64_t> windows;  // what WINDOW_UPDATE gave, by stream; 0: the connection
  bool goes_away = false;
  uint32_t goaway_status = 0;

 private:
  absl::Status OnControl(uint16_t type, uint8_t flags, absl::string_view payload) override {
    const uint32_t first = payload.size() >= 4 ? ReadU32(payload, 0) : 0;
    switch (static_cast<SpdyType>(type)) {
      case SpdyType::kSynReply: {
        streams_[first].replied = true;
        const auto block = inflater_.Inflate(payload.substr(4));
        if (!block.ok()) return block.status();
        break;
      }
      case SpdyType::kRstStream:
        streams_[first].reset = true;
        break;
      case SpdyType::kPing:
        pings.insert(first);
        break;
      case SpdyType::kGoAway:
        goes_away = true;
        goaway_status = ReadU32(payload, 4);
        break;
      case SpdyType::kWindowUpdate:
        windows[first] += ReadU32(payload, 4);
        break;
      default:
        return absl::InvalidArgumentError(absl::StrCat("frame type ", type, " flags ", flags));
    }
    return absl::OkStatus();
  }
  absl::Status OnData(uint32_t stream, absl::string_view bytes, uint8_t flags, bool last) override {
    streams_[stream].data.append(bytes.data(), bytes.size());
    if (last && (flags & kSpdyFin) != 0) streams_[stream].finished = true;
    return absl::OkStatus();
  }

  HeaderDeflater deflater_;
  HeaderInflater inflater_;
  SpdyParser parser_;
  std::map<uint32_t, Stream> streams_;
  uint32_t next_ = 1, last_ = 0;
};

// One frame of a client: masked, final unless told otherwise.
inline std::string WebSocketFrame(uint8_t opcode, absl::string_view payload, bool last = true) {
  std::string frame;
  frame += static_cast<char>((last ? 0x80 : 0) | opcode);
  if (payload.size() < 126) {
    frame += static_cast<char>(0x80 | payload.size());
  } else if (payload.size() < 65536) {
    frame += static_cast<char>(0x80 | 126);
    frame += static_cast<char>(payload.size() >> 8);
    frame += static_cast<char>(payload.size());
  } else {
    frame += static_cast<char>(0x80 | 127);
    AppendU32(frame, static_cast<uint32_t>(uint64_t{payload.size()} >> 32));
    AppendU32(frame, static_cast<uint32_t>(payload.size()));
  }
  constexpr char kMask[] = {0x11, 0x22, 0x33, 0x44};
  frame.append(kMask, 4);
  for (size_t i = 0; i < payload.size(); ++i) frame += static_cast<char>(payload[i] ^ kMask[i % 4]);
  return frame;
}

inline constexpr uint8_t kWsText = 1, kWsBinary = 2, kWsClose = 8, kWsPing = 9, kWsPong = 10;

// What a server sends, cut into frames.
class WebSocketReader {
 public:
  struct Message {
    uint8_t opcode;
    std::string payload;
  };

  void Feed(absl::string_view bytes) {
    buffered_.append(bytes.data(), bytes.size());
    while (Take()) {
    }
  }
  std::vector<Message> messages;

 private:
  bool Take() {
    if (buffered_.size() < 2) return false;
    const auto byte = [&](size_t at) { return static_cast<uint8_t>(buffered_[at]); };
    size_t head = 2;
    uint64_t size = byte(1) & 0x7f;
    if (size == 126) {
      head = 4;
      if (buffered_.size() < head) return false;
      size = uint64_t{byte(2)} << 8 | byte(3);
    } else if (size == 127) {
      head = 10;
      if (buffered_.size() < head) return false;
      size = ReadU32(buffered_, 6);
    }
    if (buffered_.size() < head + size) return false;
    messages.push_back({static_cast<uint8_t>(byte(0) & 0x0f), buffered_.substr(head, size)});
    buffered_.erase(0, head + size);
    return true;
  }

  std::string buffered_;
};

}  // namespace berth::testing_stream
