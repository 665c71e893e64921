#include "src/cli/log_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace berth::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kTime[] = "2026-01-02T03:04:05.123456789+00:00";

std::string Record(absl::string_view rest) { return absl::StrCat(kTime, " ", rest, "\n"); }

// "stdout:text$" a line, "$" for its newline.
std::string Show(const LogLine& line) {
  return absl::StrCat(line.stream == LogStream::kStdout ? "stdout:" : "stderr:", line.text,
                      line.ended ? "$" : "");
}

struct Decoded {
  std::vector<std::string> lines;
  std::vector<std::string> at_end;
};

Decoded Decode(const std::vector<std::string>& pieces, absl::Time since = absl::InfinitePast()) {
  Decoded decoded;
  LogDecoder decoder(since);
  for (const std::string& piece : pieces) {
    decoder.Feed(piece, [&](const LogLine& line) { decoded.lines.push_back(Show(line)); });
  }
  decoder.Finish([&](const LogLine& line) { decoded.at_end.push_back(Show(line)); });
  return decoded;
}

TEST(ParseLogRecord, ReadsTheFourWords) {
  const std::string line = absl::StrCat(kTime, " stderr P:x a b ");
  const auto record = ParseLogRecord(line);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->time, kTime);
  EXPECT_EQ(record->stream, LogStream::kStderr);
  EXPECT_TRUE(record->partial);
  EXPECT_EQ(record->content, "a b ");
}

TEST(ParseLogRecord, TakesAnEmptyLine) {
  const std::string line = absl::StrCat(kTime, " stdout F ");
  const auto record = ParseLogRecord(line);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->content, "");
}

TEST(ParseLogRecord, RefusesWhatIsNoRecord) {
  for (const char* line :
       {"", "x", "t stdout", "t stdout F", "t stdin F a", "t stdout X a", " stdout F a"}) {
    EXPECT_FALSE(ParseLogRecord(line).ok()) << line;
  }
}

TEST(LogDecoder, JoinsPartialRecordsOfEachStreamByItself) {
  const Decoded decoded = Decode({Record("stdout P on") + Record("stderr P er") +
                                  Record("stdout F e") + Record("stderr F r")});
  EXPECT_THAT(decoded.lines, ElementsAre("stdout:one$", "stderr:err$"));
  EXPECT_THAT(decoded.at_end, IsEmpty());
}

TEST(LogDecoder, TakesRecordsCutAnywhere) {
  const std::string log = Record("stdout F one") + Record("stdout F ") + Record("stderr F two");
  for (size_t cut = 0; cut <= log.size(); ++cut) {
    const Decoded decoded = Decode({log.substr(0, cut), log.substr(cut)});
    EXPECT_THAT(decoded.lines, ElementsAre("stdout:one$", "stdout:$", "stderr:two$")) << cut;
  }
}

TEST(LogDecoder, EndsALineWithoutNewlineOnlyAtTheEnd) {
  const Decoded decoded = Decode({Record("stdout F one") + Record("stdout P tw")});
  EXPECT_THAT(decoded.lines, ElementsAre("stdout:one$"));
  EXPECT_THAT(decoded.at_end, ElementsAre("stdout:tw"));
}

TEST(LogDecoder, PassesOnWhatIsNoRecord) {
  EXPECT_THAT(Decode({"garbage\n" + Record("stdout F a")}).lines,
              ElementsAre("stdout:garbage$", "stdout:a$"));
}

TEST(LogDecoder, DropsLinesFromBeforeSince) {
  absl::Time later;
  ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full, "2026-01-02T04:00:00Z", &later, nullptr));
  const std::string log =
      Record("stdout F old") + "2026-01-02T05:00:00.000000000+00:00 stdout F new\n";
  EXPECT_THAT(Decode({log}, later).lines, ElementsAre("stdout:new$"));
}

TEST(LogDecoder, PassesOnAnEndlessLineInParts) {
  LogDecoder decoder;
  size_t bytes = 0;
  const std::string record = Record("stdout P " + std::string(16384, 'x'));
  for (int i = 0; i < 100; ++i) {
    decoder.Feed(record, [&](const LogLine& line) {
      EXPECT_FALSE(line.ended);
      bytes += line.text.size();
    });
  }
  EXPECT_GT(bytes, 0u);
  decoder.Finish([&](const LogLine& line) { bytes += line.text.size(); });
  EXPECT_EQ(bytes, 100u * 16384);
}

TEST(FindTail, StartsAtALineBorder) {
  const std::string first = Record("stdout F one");
  const std::string second = Record("stdout P tw") + Record("stdout F o");
  const std::string third = Record("stderr F three");
  const std::string log = first + second + third;
  for (const DataStart start : {DataStart::kOfLog, DataStart::kAnywhere}) {
    EXPECT_EQ(FindTail(log, 0, start), log.size());
    EXPECT_EQ(FindTail(log, 1, start), first.size() + second.size());
    EXPECT_EQ(FindTail(log, 3, start), absl::string_view::npos);
    EXPECT_EQ(FindTail("", 1, start), absl::string_view::npos);
  }
  EXPECT_EQ(FindTail(log, 2, DataStart::kOfLog), first.size());
  EXPECT_EQ(FindTail(log.substr(5), 2, DataStart::kAnywhere), absl::string_view::npos);
}

TEST(FindTail, CountsALineWithoutEnd) {
  const std::string last = Record("stdout P tw") + Record("stdout P o");
  const std::string log = Record("stdout F zero") + Record("stdout F one") + last;
  EXPECT_EQ(FindTail(log, 1, DataStart::kAnywhere), log.size() - last.size());
}

}  // namespace
}  // namespace berth::cli
