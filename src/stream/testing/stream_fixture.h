// What the tests of the real berth-stream share: sessions that have begun, and reading what comes.
#pragma once

#include <fcntl.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/sanitized.h"
#include "src/kernel/file.h"
#include "src/stream/testing/stream_process.h"

namespace berth::testing_stream {

using wire::SessionKind;

inline constexpr uint32_t kAllStreams =
    wire::kSessionStdin | wire::kSessionStdout | wire::kSessionStderr;

inline std::string PathOf(SessionKind kind) {
  const char* const names[] = {"", "exec", "attach", "portforward"};
  return absl::StrCat("/", names[static_cast<int>(kind)], "/", kToken);
}

inline SpdyHeaders StreamType(absl::string_view type) {
  return {{"streamtype", std::string(type)}};
}

class BerthStreamTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: the helper gives its privileges away";
    process_.emplace();
    spdy_.emplace();
  }

  StreamProcess& process() { return *process_; }
  RawClient& client() { return process_->client(); }

  // An exec over SPDY whose streams the client has opened: error 1, stdin 3, stdout 5, stderr 7.
  void BeginSpdyExec(absl::string_view protocol = "v4.channel.k8s.io") {
    ASSERT_TRUE(client().Send(SpdyUpgradeOf(PathOf(SessionKind::kExec), protocol)));
    process().Redeem(SessionKind::kExec, kAllStreams);
    const std::string head = client().ReceiveHead();
    ASSERT_THAT(head, testing::StartsWith("HTTP/1.1 101 Switching Protocols\r\n"));
    ASSERT_THAT(head,
                testing::HasSubstr(absl::StrCat("X-Stream-Protocol-Version: ", protocol, "\r\n")));
    for (const char* type : {"error", "stdin", "stdout", "stderr"})
      ASSERT_TRUE(client().Send(spdy_->Open(StreamType(type))));
    process().Begin(kAllStreams);
  }

  void BeginWebSocketExec(absl::string_view protocol, uint32_t flags = kAllStreams) {
    ASSERT_TRUE(client().Send(WebSocketUpgradeOf(PathOf(SessionKind::kExec), protocol)));
    process().Redeem(SessionKind::kExec, flags);
    const std::string head = client().ReceiveHead();
    ASSERT_THAT(head, testing::StartsWith("HTTP/1.1 101 Switching Protocols\r\n"));
    if (!protocol.empty()) {
      ASSERT_THAT(head,
                  testing::HasSubstr(absl::StrCat("Sec-WebSocket-Protocol: ", protocol, "\r\n")));
    }
    process().Begin(flags);
  }

  // Reads SPDY until `done`; false if the connection ends before.
  bool ReadSpdyUntil(const std::function<bool()>& done) {
    while (!done()) {
      const std::string bytes = client().Next();
      if (bytes.empty()) return done();
      const absl::Status fed = spdy_->Feed(bytes);
      EXPECT_TRUE(fed.ok()) << fed;
      if (!fed.ok()) return false;
    }
    return true;
  }
  // All messages until the server's close frame, which is answered. The client is the first to
  // close its side, as clients are: the server waits for that a while.
  std::vector<WebSocketReader::Message> ReadWebSocketToClose() {
    WebSocketReader reader;
    while (reader.messages.empty() || reader.messages.back().opcode != kWsClose) {
      const std::string bytes = client().Next();
      if (bytes.empty()) {
        ADD_FAILURE() << "the connection ends without a close frame";
        break;
      }
      reader.Feed(bytes);
    }
    client().Send(WebSocketFrame(kWsClose, "\x03\xe8"));
    client().FinishSending();
    return reader.messages;
  }
  static std::string ChannelData(const std::vector<WebSocketReader::Message>& messages,
                                 char channel) {
    std::string data;
    for (const auto& message : messages) {
      if (message.opcode <= kWsBinary && !message.payload.empty() &&
          message.payload[0] == channel) {
        data += message.payload.substr(1);
      }
    }
    return data;
  }

  std::string StatusField(const std::string& field) {
    const std::string status =
        ReadFileAt(AT_FDCWD, absl::StrCat("/proc/", process().pid(), "/status")).value_or("");
    const size_t at = status.find("\n" + field + ":\t");
    if (at == std::string::npos) return "(none)";
    const size_t begin = at + field.size() + 3;
    return status.substr(begin, status.find('\n', begin) - begin);
  }

  // Of the helper, whatever was sent to it.
  void ExpectLittleMemory() {
    const std::string memory = StatusField("RssAnon");
    EXPECT_GT(std::atoi(memory.c_str()), 0);
    if (!kSanitized) {
      EXPECT_LT(std::atoi(memory.c_str()), 16 << 10) << memory;
    }
  }

  std::optional<StreamProcess> process_;
  std::optional<SpdyClient> spdy_;
};

inline bool WriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

// Exactly `size` bytes, or less if the end comes.
inline std::string ReadExactly(int fd, size_t size) {
  std::string bytes(size, '\0');
  size_t have = 0;
  while (have < size) {
    const ssize_t n = ::read(fd, bytes.data() + have, size - have);
    if (n <= 0) break;
    have += static_cast<size_t>(n);
  }
  bytes.resize(have);
  return bytes;
}
inline std::string ReadToEnd(int fd) { return ReadExactly(fd, 1 << 20); }

}  // namespace berth::testing_stream
