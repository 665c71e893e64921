#include "src/nri/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::nri {
namespace {

using ::testing::HasSubstr;
using namespace std::string_literals;

WireMessage Message(uint32_t connection, uint32_t stream, std::string payload) {
  return {.connection = connection,
          .stream = stream,
          .type = WireMessage::Type::kResponse,
          .payload = std::move(payload)};
}

TEST(NriWireTest, AMessageIsAFrameWithTheHeaderOfTtrpc) {
  EXPECT_EQ(EncodeWireMessage({.connection = 2, .stream = 5, .payload = "ab"}),
            "\0\0\0\2\0\0\0\x0c\0\0\0\2\0\0\0\5\1\0ab"s);
}

TEST(NriWireTest, ReadsWhatItWritesHoweverItIsCut) {
  const std::string bytes = EncodeWireMessage(Message(1, 1, "one")) +
                            EncodeWireMessage(Message(2, 3, std::string(70000, 'x'))) +
                            EncodeWireMessage(Message(1, 5, ""));
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{4096}, bytes.size()}) {
    WireReader reader;
    std::map<uint32_t, std::vector<std::string>> read;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      const auto messages = reader.Read(absl::string_view(bytes).substr(at, piece));
      ASSERT_TRUE(messages.ok()) << messages.status();
      for (const WireMessage& message : *messages) {
        EXPECT_EQ(message.type, WireMessage::Type::kResponse);
        read[message.connection].push_back(message.payload);
      }
    }
    EXPECT_EQ(read[1], (std::vector<std::string>{"one", ""})) << piece;
    EXPECT_EQ(read[2], (std::vector<std::string>{std::string(70000, 'x')})) << piece;
  }
}

// A writer may cut a message where it likes: a frame is no message.
TEST(NriWireTest, AMessageMayBeInSeveralFrames) {
  const std::string whole = EncodeWireMessage(Message(1, 9, "payload"));
  const std::string message = whole.substr(8);
  const auto frame = [](const std::string& part) {
    return "\0\0\0\1\0\0\0"s + static_cast<char>(part.size()) + part;
  };
  WireReader reader;
  const auto none = reader.Read(frame(message.substr(0, 4)));
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->empty());
  const auto one = reader.Read(frame(message.substr(4)));
  ASSERT_TRUE(one.ok());
  ASSERT_EQ(one->size(), 1U);
  EXPECT_EQ(one->front().payload, "payload");
  EXPECT_EQ(one->front().stream, 9U);
}

TEST(NriWireTest, RefusesWhatNoPluginSends) {
  EXPECT_THAT(WireReader().Read("\0\0\0\3\0\0\0\0"s).status().message(), HasSubstr("connection 3"));
  EXPECT_THAT(WireReader().Read("\0\0\0\1\x7f\0\0\0"s).status().message(), HasSubstr("a frame of"));
  EXPECT_THAT(WireReader().Read("\0\0\0\1\0\0\0\x0a\x7f\0\0\0\0\0\0\1\1\0"s).status().message(),
              HasSubstr("a message of"));
  EXPECT_THAT(WireReader().Read("\0\0\0\1\0\0\0\x0a\0\0\0\0\0\0\0\1\7\0"s).status().message(),
              HasSubstr("type 7"));
}

}  // namespace
}  // namespace berth::nri
