// berth-monitor's writer of container logs.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <regex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/unique_fd.h"
#include "src/runtime/monitor/log_writer.h"

namespace berth::monitor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A log file and what was written to it.
class LogWriterTest : public testing::Test {
 protected:
  LogWriterTest() { Reopen(); }
  void Reopen() {
    file_.reset(memfd_create("log", MFD_CLOEXEC));
    writer_.SetFile(fcntl(file_.get(), F_DUPFD_CLOEXEC, 3));
  }
  void Write(LogWriter::Stream stream, const std::string& text) {
    writer_.Write(stream, text.data(), text.size());
  }

  // The file's records as "stdout F text"; each timestamp is checked and taken away.
  std::vector<std::string> Records() const {
    struct stat info;
    EXPECT_EQ(fstat(file_.get(), &info), 0);
    std::string content(info.st_size, '\0');
    EXPECT_EQ(pread(file_.get(), content.data(), content.size(), 0), info.st_size);
    std::vector<std::string> records;
    if (content.empty()) return records;
    EXPECT_EQ(content.back(), '\n');
    content.pop_back();
    static const std::regex timestamp("\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{9}Z ");
    for (absl::string_view line : absl::StrSplit(content, '\n')) {
      const std::string head(line.substr(0, 31));
      EXPECT_TRUE(std::regex_match(head, timestamp)) << head;
      records.emplace_back(line.substr(std::min<size_t>(31, line.size())));
    }
    return records;
  }

  UniqueFd file_;
  LogWriter writer_;
};

TEST_F(LogWriterTest, MakesARecordOfEachLine) {
  Write(LogWriter::kStdout, "one\ntwo\n");
  Write(LogWriter::kStderr, "three\n");
  EXPECT_THAT(Records(), ElementsAre("stdout F one", "stdout F two", "stderr F three"));
}

TEST_F(LogWriterTest, KeepsLinesOfEachLengthWhereverTheyAreCut) {
  std::vector<std::string> lines;
  std::string text;
  for (size_t length = 0; length <= 70; ++length) {
    lines.push_back("stdout F ");
    for (size_t i = 0; i < length; ++i) lines.back() += static_cast<char>('!' + (length + i) % 90);
    absl::StrAppend(&text, absl::string_view(lines.back()).substr(9), "\n");
  }
  for (const size_t piece : {text.size(), size_t{1}, size_t{7}, size_t{17}, size_t{1000}}) {
    Reopen();
    for (size_t at = 0; at < text.size(); at += piece)
      Write(LogWriter::kStdout, text.substr(at, piece));
    EXPECT_EQ(Records(), lines) << "in pieces of " << piece;
  }
}

TEST_F(LogWriterTest, KeepsEmptyLines) {
  Write(LogWriter::kStdout, "\n\na\n\n");
  EXPECT_THAT(Records(), ElementsAre("stdout F ", "stdout F ", "stdout F a", "stdout F "));
}

TEST_F(LogWriterTest, JoinsWhatCameInPieces) {
  Write(LogWriter::kStdout, "he");
  Write(LogWriter::kStdout, "llo");
  EXPECT_THAT(Records(), IsEmpty());
  Write(LogWriter::kStdout, " there\nnext");
  EXPECT_THAT(Records(), ElementsAre("stdout F hello there"));
}

TEST_F(LogWriterTest, KeepsPiecesOfTheTwoStreamsApart) {
  Write(LogWriter::kStdout, "out");
  Write(LogWriter::kStderr, "err");
  Write(LogWriter::kStdout, "put\n");
  Write(LogWriter::kStderr, "or\n");
  EXPECT_THAT(Records(), ElementsAre("stdout F output", "stderr F error"));
}

TEST_F(LogWriterTest, LeavesTheEndWithoutANewlinePartial) {
  Write(LogWriter::kStdout, "no newline");
  writer_.Finish(LogWriter::kStdout);
  writer_.Finish(LogWriter::kStdout);
  writer_.Finish(LogWriter::kStderr);
  EXPECT_THAT(Records(), ElementsAre("stdout P no newline"));
}

TEST_F(LogWriterTest, KeepsNulAndOtherBytesAsTheyAre) {
  const std::string odd("a\0b\r\x1b\xff", 6);
  Write(LogWriter::kStdout, odd + "\n");
  EXPECT_THAT(Records(), ElementsAre("stdout F " + odd));
}

std::string Line(size_t bytes) {
  std::string line;
  for (size_t i = 0; line.size() < bytes; ++i) line += absl::StrCat(i, ",");
  return line.substr(0, bytes);
}

TEST_F(LogWriterTest, CutsLinesAtTheLimitExactly) {
  for (const size_t bytes : {kMaxLineBytes - 1, kMaxLineBytes, kMaxLineBytes + 1, 2 * kMaxLineBytes,
                             2 * kMaxLineBytes + 1, 5 * kMaxLineBytes + 7}) {
    // In one piece, and in pieces that fall anywhere.
    for (const size_t piece :
         {bytes + 1, size_t{1}, size_t{1000}, kMaxLineBytes, kMaxLineBytes - 1}) {
      Reopen();
      const std::string text = Line(bytes) + "\n";
      for (size_t at = 0; at < text.size(); at += piece)
        Write(LogWriter::kStdout, text.substr(at, piece));
      const std::vector<std::string> records = Records();
      ASSERT_EQ(records.size(), (bytes + kMaxLineBytes - 1) / kMaxLineBytes)
          << bytes << " in pieces of " << piece;
      std::string joined;
      for (size_t i = 0; i < records.size(); ++i) {
        EXPECT_EQ(records[i].substr(0, 9), i + 1 < records.size() ? "stdout P " : "stdout F ");
        EXPECT_LE(records[i].size(), kMaxLineBytes + 9);
        joined += records[i].substr(9);
      }
      EXPECT_EQ(joined + "\n", text) << bytes << " in pieces of " << piece;
    }
  }
}

TEST_F(LogWriterTest, TakesMoreInOneCallThanItsBufferHolds) {
  std::string text;
  std::vector<std::string> expected;
  for (int i = 0; i < 20000; ++i) {
    absl::StrAppend(&text, i, "\n");
    expected.push_back(absl::StrCat("stdout F ", i));
  }
  Write(LogWriter::kStdout, text);
  EXPECT_EQ(Records(), expected);
}

TEST_F(LogWriterTest, ReopenLeavesNoByteForTheOldFile) {
  Write(LogWriter::kStdout, "old\nhalf");
  writer_.Flush();
  EXPECT_THAT(Records(), ElementsAre("stdout F old", "stdout P half"));
  Reopen();
  Write(LogWriter::kStdout, " rest\n");
  EXPECT_THAT(Records(), ElementsAre("stdout F  rest"));
}

TEST_F(LogWriterTest, DropsOutputWithoutAFile) {
  writer_.SetFile(-1);
  Write(LogWriter::kStdout, "nobody reads this\npart");
  writer_.Flush();
  EXPECT_EQ(writer_.dropped_bytes(), 0u);
  Reopen();
  Write(LogWriter::kStdout, "x\n");
  EXPECT_THAT(Records(), ElementsAre("stdout F x"));
}

TEST_F(LogWriterTest, KeepsNoMoreInAFileThanItsLimit) {
  writer_.SetLimits({.bytes_per_second = 0, .max_bytes = 100});
  Write(LogWriter::kStdout, "one\n");    // 44 bytes of record
  Write(LogWriter::kStdout, "two\n");    // 88
  Write(LogWriter::kStdout, "three\n");  // dropped
  EXPECT_THAT(Records(), ElementsAre("stdout F one", "stdout F two"));
  EXPECT_EQ(writer_.dropped_bytes(), 6u);
  Reopen();
  Write(LogWriter::kStdout, "four\n");
  EXPECT_THAT(Records(), ElementsAre("stdout F four"));
}

TEST_F(LogWriterTest, DropsTheRestOfALineWithIt) {
  writer_.SetLimits({.bytes_per_second = 0, .max_bytes = kMaxLineBytes + 200});
  Write(LogWriter::kStdout, std::string(3 * kMaxLineBytes, 'x') + "\nnext\n");
  // What there is of the line ends where it was cut off: "next" does not become its end.
  EXPECT_THAT(Records(), ElementsAre("stdout P " + std::string(kMaxLineBytes, 'x'), "stdout F ",
                                     "stdout F next"));
  EXPECT_EQ(writer_.dropped_bytes(), 2 * kMaxLineBytes + 1);
}

TEST_F(LogWriterTest, LetsASecondsWorthThroughAtOnce) {
  writer_.SetLimits({.bytes_per_second = 1000, .max_bytes = 0});
  for (int i = 0; i < 1000; ++i) Write(LogWriter::kStderr, "0123456789\n");  // 51 bytes of record
  const size_t kept = Records().size();
  EXPECT_GE(kept, 19u);
  EXPECT_LT(kept, 900u) << "a rate that is no limit";
  EXPECT_EQ(writer_.dropped_bytes(), (1000 - kept) * 11);
}

TEST_F(LogWriterTest, CountsWhatCouldNotBeWrittenAndGoesOn) {
  writer_.SetFile(open("/dev/full", O_WRONLY | O_CLOEXEC));
  Write(LogWriter::kStdout, "lost\n");
  EXPECT_EQ(writer_.dropped_bytes(), strlen("2026-01-02T03:04:05.123456789Z stdout F lost\n"));
  Reopen();
  Write(LogWriter::kStdout, "kept\n");
  EXPECT_THAT(Records(), ElementsAre("stdout F kept"));
}

TEST_F(LogWriterTest, ARecordCutOffByAFullDiskSpoilsNoOtherRecord) {
  // RLIMIT_FSIZE cuts a write as a full disk does.
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {.rlim_cur = 60, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  Write(LogWriter::kStdout, "one\n");
  Write(LogWriter::kStdout, "two\n");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  Write(LogWriter::kStdout, "three\n");
  EXPECT_GT(writer_.dropped_bytes(), 0u);
  std::string content(1000, '\0');
  content.resize(pread(file_.get(), content.data(), content.size(), 0));
  const std::vector<std::string> lines = absl::StrSplit(content, '\n');
  ASSERT_EQ(lines.size(), 4u) << content;
  EXPECT_EQ(lines[0].substr(31), "stdout F one");
  EXPECT_EQ(lines[2].substr(31), "stdout F three");
}

}  // namespace
}  // namespace berth::monitor
