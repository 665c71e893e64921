#include "src/stream/channel_codec.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace berth {
namespace {

using testing::ElementsAre;

class Recorder : public ChannelSink {
 public:
  void OnChannelData(uint8_t channel, absl::string_view bytes) override {
    if (bytes_.size() <= channel) bytes_.resize(channel + 1u);
    bytes_[channel].append(bytes.data(), bytes.size());
  }
  void OnChannelClose(uint8_t channel) override { closed.push_back(channel); }
  std::string operator[](size_t channel) const {
    return channel < bytes_.size() ? bytes_[channel] : "";
  }
  std::vector<int> closed;

 private:
  std::vector<std::string> bytes_;
};

constexpr ChannelFormat kV4 = {.channels = 5}, kV5 = {.can_close = true, .channels = 5},
                        kBase64 = {.base64 = true, .channels = 5};

TEST(ChannelCodec, SurvivesTheWayInPiecesOfAnyLength) {
  const std::string content("a\0b\xff\n, and some more", 21);
  for (const ChannelFormat format : {kV4, kV5, kBase64}) {
    const std::string message = EncodeChannelMessage(format, 2, content);
    for (size_t step = 1; step <= message.size(); ++step) {
      Recorder sink;
      ChannelDecoder decoder(format);
      for (size_t at = 0; at < message.size(); at += step) {
        ASSERT_TRUE(
            decoder.Feed(message.substr(at, step), format.base64, at + step >= message.size(), sink)
                .ok());
      }
      EXPECT_EQ(sink[2], content);
    }
  }
}

TEST(ChannelCodec, TakesEmptyMessages) {
  for (const ChannelFormat format : {kV4, kBase64}) {
    Recorder sink;
    ChannelDecoder decoder(format);
    EXPECT_TRUE(decoder.Feed(EncodeChannelMessage(format, 0, ""), format.base64, true, sink).ok());
    EXPECT_EQ(sink[0], "");
  }
}

TEST(ChannelCodec, ClosesChannelsInV5Only) {
  Recorder sink;
  ChannelDecoder v5(kV5);
  EXPECT_TRUE(v5.Feed(absl::string_view("\xff\0", 2), false, true, sink).ok());
  EXPECT_THAT(sink.closed, ElementsAre(0));
  ChannelDecoder v4(kV4);
  EXPECT_FALSE(v4.Feed(absl::string_view("\xff\0", 2), false, true, sink).ok());
}

TEST(ChannelCodec, RefusesWhatBreaksTheProtocol) {
  struct Case {
    const char* name;
    ChannelFormat format;
    std::string message;
    bool text;
  };
  const Case cases[] = {
      {"text for binary", kV4, std::string(1, '\0'), true},
      {"binary for text", kBase64, "0", false},
      {"no channel", kV4, "", false},
      {"no such channel", kV4, "\x05", false},
      {"no such digit", kBase64, "5", true},
      {"a letter", kBase64, "x", true},
      {"before the digits", kBase64, "/", true},
      {"not Base64", kBase64, "0***", true},
      {"more after the padding", kBase64, "0YQ==YQ==", true},
      {"closes what is none", kV5, "\xff\x07", false},
  };
  for (const Case& bad : cases) {
    Recorder sink;
    ChannelDecoder decoder(bad.format);
    EXPECT_EQ(decoder.Feed(bad.message, bad.text, true, sink).code(),
              absl::StatusCode::kInvalidArgument)
        << bad.name;
  }
}

}  // namespace
}  // namespace berth
