#include "src/stream/spdy_connection.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace berth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Recorder : public SpdyEvents {
 public:
  bool OnOpen(uint32_t stream, const SpdyHeaders& headers) override {
    happened.push_back(absl::StrCat("open ", stream, " ", FindHeader(headers, "streamtype")));
    return takes;
  }
  void OnData(uint32_t stream, absl::string_view bytes) override {
    happened.push_back(absl::StrCat("data ", stream, " ", bytes));
  }
  void OnFin(uint32_t stream) override { happened.push_back(absl::StrCat("fin ", stream)); }
  void OnReset(uint32_t stream) override { happened.push_back(absl::StrCat("reset ", stream)); }
  void OnGoAway() override { happened.push_back("goaway"); }
  void OnWindow() override { happened.push_back("window"); }

  bool takes = true;
  std::vector<std::string> happened;
};

// What the connection sends, frame by frame.
class Sent : public SpdyFrameSink {
 public:
  absl::Status OnControl(uint16_t type, uint8_t, absl::string_view payload) override {
    std::string text = absl::StrCat("type ", type);
    const bool is_reply = type == static_cast<uint16_t>(SpdyType::kSynReply);
    for (size_t at = 0; at + 4 <= (is_reply ? 4 : payload.size()); at += 4)
      absl::StrAppend(&text, " ", ReadU32(payload, at));
    frames.push_back(text);
    return absl::OkStatus();
  }
  absl::Status OnData(uint32_t stream, absl::string_view bytes, uint8_t flags, bool) override {
    frames.push_back(absl::StrCat("data ", stream, " ", bytes, " ", flags));
    return absl::OkStatus();
  }
  std::vector<std::string> frames;
};

class SpdyConnectionTest : public testing::Test {
 protected:
  std::string SynStream(uint32_t stream, absl::string_view type, uint8_t flags = 0) {
    std::string payload;
    AppendU32(payload, stream);
    payload += std::string(6, '\0');
    payload += deflater_.Deflate(SerializeSpdyHeaders({{"streamtype", std::string(type)}}));
    return SpdyControlFrame(SpdyType::kSynStream, flags, payload);
  }
  static std::string Words(SpdyType type, std::vector<uint32_t> words) {
    std::string payload;
    for (const uint32_t word : words) AppendU32(payload, word);
    return SpdyControlFrame(type, 0, payload);
  }
  std::vector<std::string> Output() {
    Sent sent;
    SpdyParser parser;
    EXPECT_TRUE(parser.Feed(connection_.TakeOutput(), sent).ok());
    return sent.frames;
  }
  void Open(uint32_t stream) {
    ASSERT_TRUE(connection_.Feed(SynStream(stream, "data")).ok());
    connection_.TakeOutput();
    events_.happened.clear();
  }

  Recorder events_;
  SpdyConnection connection_{4, events_};
  HeaderDeflater deflater_;
};

TEST_F(SpdyConnectionTest, AnswersAStreamAndReportsItsBytesByteByByte) {
  std::string bytes = SynStream(1, "stdin");
  bytes += SpdyDataFrame(1, 0, "ab") + SpdyDataFrame(1, kSpdyFin, "");
  bytes += SynStream(3, "error", kSpdyFin);
  for (const char byte : bytes) ASSERT_TRUE(connection_.Feed(absl::string_view(&byte, 1)).ok());
  EXPECT_THAT(events_.happened, ElementsAre("open 1 stdin", "data 1 a", "data 1 b", "fin 1",
                                            "open 3 error", "fin 3"));
  EXPECT_THAT(Output(), ElementsAre("type 2 1", "type 2 3"));
}

TEST_F(SpdyConnectionTest, ClosesAStreamOnceBothSidesHave) {
  Open(1);
  EXPECT_EQ(connection_.Data(1, "x", true), SpdyDataFrame(1, kSpdyFin, "x"));
  EXPECT_EQ(connection_.Data(1, "x", false), "");
  EXPECT_EQ(connection_.open_streams(), 1u);
  ASSERT_TRUE(connection_.Feed(SpdyDataFrame(1, kSpdyFin, "y")).ok());
  EXPECT_EQ(connection_.open_streams(), 0u);
}

TEST_F(SpdyConnectionTest, RefusesMoreStreamsThanItsBound) {
  for (const uint32_t stream : {1, 3, 5, 7}) Open(stream);
  ASSERT_TRUE(connection_.Feed(SynStream(9, "data")).ok());
  EXPECT_THAT(Output(), ElementsAre("type 3 9 3"));
  EXPECT_THAT(events_.happened, ElementsAre());
}

TEST_F(SpdyConnectionTest, ResetsWhatItsOwnerRefuses) {
  events_.takes = false;
  ASSERT_TRUE(connection_.Feed(SynStream(1, "data")).ok());
  EXPECT_THAT(Output(), ElementsAre("type 3 1 3"));
  EXPECT_EQ(connection_.open_streams(), 0u);
}

TEST_F(SpdyConnectionTest, EchoesPingsOfTheClientOnly) {
  ASSERT_TRUE(connection_.Feed(Words(SpdyType::kPing, {7})).ok());
  ASSERT_TRUE(connection_.Feed(Words(SpdyType::kPing, {8})).ok());
  EXPECT_THAT(Output(), ElementsAre("type 6 7"));
}

TEST_F(SpdyConnectionTest, SkipsFramesOfUnknownTypes) {
  ASSERT_TRUE(connection_.Feed(SpdyControlFrame(static_cast<SpdyType>(11), 3, "???")).ok());
  ASSERT_TRUE(connection_.Feed(SpdyControlFrame(static_cast<SpdyType>(12), 3, "")).ok());
  EXPECT_FALSE(connection_.has_output());
}

TEST_F(SpdyConnectionTest, TakesNoStreamsAfterTheClientsGoAway) {
  ASSERT_TRUE(connection_.Feed(Words(SpdyType::kGoAway, {0, 0})).ok());
  ASSERT_TRUE(connection_.Feed(SynStream(1, "data")).ok());
  EXPECT_THAT(events_.happened, ElementsAre("goaway"));
}

TEST_F(SpdyConnectionTest, DropsDataOfAStreamThatWasResetAndOpensTheWindowForIt) {
  Open(1);
  connection_.Reset(1, SpdyReset::kCancel);
  ASSERT_TRUE(connection_.Feed(SpdyDataFrame(1, 0, std::string(40'000, 'x'))).ok());
  EXPECT_THAT(events_.happened, ElementsAre());
  EXPECT_THAT(Output(), ElementsAre("type 3 1 5", "type 9 0 40000"));
}

TEST_F(SpdyConnectionTest, ResetsAStreamThatGoesOnAfterItsEnd) {
  Open(1);
  ASSERT_TRUE(connection_.Feed(SpdyDataFrame(1, kSpdyFin, "")).ok());
  ASSERT_TRUE(connection_.Feed(SpdyDataFrame(1, 0, "more")).ok());
  EXPECT_THAT(events_.happened, ElementsAre("fin 1", "reset 1"));
  EXPECT_THAT(Output(), ElementsAre("type 3 1 9"));
}

TEST_F(SpdyConnectionTest, KnowsNoWindowOfAPeerThatSpeaksOfNone) {
  Open(1);
  for (int i = 0; i < 100; ++i) EXPECT_NE(connection_.Data(1, std::string(10'000, 'x'), false), "");
  EXPECT_GT(connection_.Window(1), 1u << 30);
}

TEST_F(SpdyConnectionTest, ObeysTheWindowsThatThePeerSpeaksOf) {
  Open(1);
  connection_.Data(1, std::string(1000, 'x'), false);
  ASSERT_TRUE(connection_.Feed(Words(SpdyType::kWindowUpdate, {1, 10})).ok());
  EXPECT_EQ(connection_.Window(1), 65536u - 1000 + 10);
  ASSERT_TRUE(connection_.Feed(Words(SpdyType::kWindowUpdate, {0, 1})).ok());
  EXPECT_EQ(connection_.Window(1), 65536u - 1000 + 1);
  ASSERT_TRUE(connection_.Feed(Words(SpdyType::kSettings, {1, kSpdySettingFirstWindow, 500})).ok());
  EXPECT_EQ(connection_.Window(1), 0u);
  EXPECT_THAT(events_.happened, ElementsAre("window", "window", "window"));
}

TEST_F(SpdyConnectionTest, ResetsAStreamWhoseWindowOverflows) {
  Open(1);
  ASSERT_TRUE(connection_.Feed(Words(SpdyType::kWindowUpdate, {1, 0x7fffffff})).ok());
  EXPECT_THAT(Output(), ElementsAre("type 3 1 7"));
  EXPECT_THAT(events_.happened, ElementsAre("reset 1", "window"));
}

TEST_F(SpdyConnectionTest, OpensItsOwnWindowsByWhatIsConsumed) {
  Open(1);
  connection_.Consumed(1, 30'000);
  EXPECT_THAT(Output(), ElementsAre());
  connection_.Consumed(1, 10'000);
  EXPECT_THAT(Output(), ElementsAre("type 9 0 40000", "type 9 1 40000"));
}

TEST_F(SpdyConnectionTest, EndsTheConnectionForWhatBreaksTheProtocol) {
  struct Case {
    const char* name;
    std::string bytes;
  };
  std::string long_block;
  AppendU32(long_block, 1);
  long_block += std::string(6, '\0');
  {
    // Few bytes that would inflate to many.
    HeaderDeflater deflater;
    long_block += deflater.Deflate(std::string(10 << 20, '\0'));
  }
  const Case cases[] = {
      {"version", std::string("\x80\x02\x00\x06\x00\x00\x00\x04\x00\x00\x00\x01", 12)},
      {"too long", SpdyControlFrame(SpdyType::kHeaders, 0, std::string(70'000, 'x'))},
      {"even stream", SynStream(2, "data")},
      {"stream 0", SynStream(0, "data")},
      {"short SYN_STREAM", SpdyControlFrame(SpdyType::kSynStream, 0, "short")},
      {"not zlib", SpdyControlFrame(SpdyType::kSynStream, 0, std::string(40, '\xff'))},
      {"inflates without end", SpdyControlFrame(SpdyType::kSynStream, 0, long_block)},
      {"reply to nothing", Words(SpdyType::kSynReply, {1})},
      {"short RST_STREAM", Words(SpdyType::kRstStream, {1})},
      {"SETTINGS longer than it says", Words(SpdyType::kSettings, {1, 7, 5, 9})},
      {"SETTINGS shorter than it says", Words(SpdyType::kSettings, {0x20000000})},
      {"window beyond 2^31", Words(SpdyType::kSettings, {1, 7, 0x80000000})},
      {"short PING", Words(SpdyType::kPing, {})},
      {"short GOAWAY", Words(SpdyType::kGoAway, {1})},
      {"short WINDOW_UPDATE", Words(SpdyType::kWindowUpdate, {1})},
      {"connection window overflows", Words(SpdyType::kWindowUpdate, {0, 0x7fffffff})},
      {"no window", Words(SpdyType::kWindowUpdate, {0, 0})},
      {"data for nobody", SpdyDataFrame(5, 0, "x")},
      {"data on stream 0", SpdyDataFrame(0, 0, "x")},
  };
  for (const Case& bad : cases) {
    Recorder events;
    SpdyConnection connection(4, events);
    const absl::Status status = connection.Feed(bad.bytes);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad.name;
    Sent sent;
    SpdyParser parser;
    ASSERT_TRUE(parser.Feed(connection.TakeOutput(), sent).ok()) << bad.name;
    ASSERT_FALSE(sent.frames.empty()) << bad.name;
    EXPECT_THAT(sent.frames.back(), HasSubstr("type 7 ")) << bad.name;
  }
}

TEST_F(SpdyConnectionTest, TakesStreamsInRisingOrderOnly) {
  Open(5);
  EXPECT_FALSE(connection_.Feed(SynStream(3, "data")).ok());
}

TEST(SpdyHeaders, SurviveTheWay) {
  const SpdyHeaders headers = {
      {"streamtype", "data"}, {"port", "80"}, {"requestid", "0"}, {"x", ""}};
  HeaderDeflater deflater;
  HeaderInflater inflater;
  // One zlib stream for all blocks of a connection.
  for (int block = 0; block < 3; ++block) {
    const auto inflated = inflater.Inflate(deflater.Deflate(SerializeSpdyHeaders(headers)));
    ASSERT_TRUE(inflated.ok()) << inflated.status();
    const auto parsed = ParseSpdyHeaders(*inflated);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, headers);
  }
  EXPECT_EQ(FindHeader(headers, "port"), "80");
  EXPECT_EQ(FindHeader(headers, "Port"), "");
}

TEST(SpdyHeaders, AreThoseOfAStrangersDictionary) {
  // What spdystream's zlib begins a block with: the dictionary's id behind the zlib header.
  HeaderDeflater deflater;
  EXPECT_EQ(deflater.Deflate(SerializeSpdyHeaders({})).substr(2, 4), "\xe3\xc6\xa7\xc2");
}

TEST(SpdyHeaders, RefuseWhatIsMalformedOrTooMuch) {
  const auto words = [](std::vector<uint32_t> numbers) {
    std::string bytes;
    for (const uint32_t number : numbers) AppendU32(bytes, number);
    return bytes;
  };
  SpdyHeaders many;
  for (size_t i = 0; i <= kMaxSpdyHeaders; ++i) many.push_back({absl::StrCat("h", i), ""});
  const std::pair<const char*, std::string> cases[] = {
      {"empty", ""},
      {"count without headers", words({1})},
      {"length beyond the end", words({1, 5})},
      {"length wraps", words({1, 0xffffffff, 0})},
      {"bytes after the last", words({0, 0})},
      {"too many", SerializeSpdyHeaders(many)},
      {"field too long", SerializeSpdyHeaders({{"a", std::string(kMaxSpdyField + 1, 'x')}})},
      {"empty name", SerializeSpdyHeaders({{"", "x"}})},
      {"upper case", SerializeSpdyHeaders({{"Port", "1"}})},
      {"twice", SerializeSpdyHeaders({{"port", "1"}, {"port", "2"}})},
  };
  for (const auto& [name, block] : cases) {
    EXPECT_EQ(ParseSpdyHeaders(block).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
}

}  // namespace
}  // namespace berth
