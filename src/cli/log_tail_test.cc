#include "src/cli/log_tail.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/time/clock.h"

namespace berth::cli {
namespace {

std::string Record(const std::string& text) {
  return "2026-01-02T03:04:05.000000000Z stdout F " + text + "\n";
}

class LogTailTest : public testing::Test {
 protected:
  LogTailTest() {
    std::string dir = "/tmp/berth-log-test-XXXXXX";
    dir_ = mkdtemp(dir.data()) != nullptr ? dir : "";
    path_ = dir_ + "/0.log";
  }
  ~LogTailTest() override { std::filesystem::remove_all(dir_); }

  void Write(const std::string& text) { std::ofstream(path_, std::ios::app) << Record(text); }
  LogTail Open(const LogOptions& options = {}) { return LogTail(path_, options, output_); }
  std::string Printed() { return out_.str(); }

  std::string dir_;
  std::string path_;
  std::ostringstream out_, err_;
  Output output_{.out = out_, .err = err_};
};

TEST_F(LogTailTest, WaitsForAFileThatIsNotThereYet) {
  LogTail log = Open();
  EXPECT_FALSE(*log.Pump());
  EXPECT_FALSE(log.opened());
  Write("one");
  EXPECT_TRUE(*log.Pump());
  EXPECT_EQ(Printed(), "one\n");
}

TEST_F(LogTailTest, ReadsOnAcrossRotation) {
  LogTail log = Open();
  Write("one");
  ASSERT_TRUE(log.Pump().ok());
  const std::string rotated = path_ + ".20260102-030405";
  std::filesystem::rename(path_, rotated);
  std::ofstream(rotated, std::ios::app)
      << Record("two");  // before the monitor has opened the new file
  ASSERT_TRUE(log.Pump().ok());
  std::ofstream(rotated, std::ios::app) << Record("three");
  Write("four");
  ASSERT_TRUE(log.Pump().ok());
  EXPECT_EQ(Printed(), "one\ntwo\nthree\nfour\n");
}

// The new file is there before the monitor goes over to it.
TEST_F(LogTailTest, StaysWithTheOldFileWhileTheNewOneIsEmpty) {
  LogTail log = Open();
  Write("one");
  ASSERT_TRUE(log.Pump().ok());
  const std::string rotated = path_ + ".20260102-030405";
  std::filesystem::rename(path_, rotated);
  std::ofstream(path_).close();
  ASSERT_TRUE(log.Pump().ok());
  std::ofstream(rotated, std::ios::app) << Record("two");
  ASSERT_TRUE(log.Pump().ok());
  Write("three");
  ASSERT_TRUE(log.Pump().ok());
  EXPECT_EQ(Printed(), "one\ntwo\nthree\n");
}

TEST_F(LogTailTest, MissesNothingOfSeveralRotations) {
  const auto record = [](int second, const std::string& text) {
    return "2026-01-02T03:04:0" + std::to_string(second) + ".000000000Z stdout F " + text + "\n";
  };
  std::ofstream(path_ + ".z-oldest") << record(0, "never");
  std::ofstream(path_) << record(1, "one");
  LogTail log = Open();
  ASSERT_TRUE(log.Pump().ok());
  std::ofstream(path_, std::ios::app) << record(2, "two");
  std::filesystem::rename(path_, path_ + ".y");
  std::ofstream(path_) << record(3, "three");
  std::filesystem::rename(path_, path_ + ".x");
  std::ofstream(path_) << record(4, "four");
  std::filesystem::rename(path_, path_ + ".20260102-030404");
  std::ofstream(path_ + ".w.gz") << "\x1f\x8b no log";
  std::ofstream(path_) << record(5, "five");
  ASSERT_TRUE(log.Pump().ok());
  EXPECT_EQ(Printed(), "one\ntwo\nthree\nfour\nfive\n");
}

TEST_F(LogTailTest, MissesNothingOfSeveralRotationsFromTheTail) {
  std::ofstream(path_) << Record("old");
  LogTail log = Open({.tail = 0});
  ASSERT_TRUE(log.Pump().ok());
  std::filesystem::rename(path_, path_ + ".1");
  const auto now = [] {
    return absl::FormatTime("%E4Y-%m-%d%ET%H:%M:%E9S%Ez", absl::Now(), absl::UTCTimeZone());
  };
  std::ofstream(path_) << now() << " stdout F two\n";
  std::filesystem::rename(path_, path_ + ".2");
  std::ofstream(path_) << now() << " stdout F three\n";
  ASSERT_TRUE(log.Pump().ok());
  EXPECT_EQ(Printed(), "two\nthree\n");
}

TEST_F(LogTailTest, EndsBeforeUntil) {
  Write("now");
  absl::Time until;
  ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full, "2026-01-02T03:04:05Z", &until, nullptr));
  LogTail before = Open({.until = until});
  ASSERT_TRUE(before.Pump().ok());
  EXPECT_EQ(Printed(), "");
  LogTail after = Open({.until = until + absl::Nanoseconds(1)});
  ASSERT_TRUE(after.Pump().ok());
  EXPECT_EQ(Printed(), "now\n");
}

TEST_F(LogTailTest, FollowsSeveralLogsWithPrefixes) {
  Write("one");
  LogTail a = Open({.prefix = "a | "}), b = Open({.prefix = "b | "});
  int asked = 0;
  const auto ended = [&]() -> absl::StatusOr<bool> { return ++asked > 3; };
  ASSERT_TRUE(FollowLogs({{.log = &a, .ended = ended}, {.log = &b, .ended = ended}}, {}).ok());
  EXPECT_EQ(Printed(), "a | one\nb | one\n");
}

TEST_F(LogTailTest, FindsTheTailOfALogLargerThanItsFirstLook) {
  std::ofstream file(path_);
  for (int i = 0; i < 20000; ++i) file << Record(std::to_string(i));
  file.close();
  LogTail log = Open({.tail = 5000});
  ASSERT_TRUE(log.Pump().ok());
  const std::string printed = Printed();
  EXPECT_EQ(printed.substr(0, 12), "15000\n15001\n");
  EXPECT_EQ(std::count(printed.begin(), printed.end(), '\n'), 5000);
}

TEST_F(LogTailTest, RefusesALinkAndADirectory) {
  std::filesystem::create_symlink("/etc/hostname", path_);
  EXPECT_FALSE(Open().Pump().ok());
  EXPECT_FALSE(LogTail(dir_, {}, output_).Pump().ok());
}

TEST_F(LogTailTest, WakesWhenTheLogGrows) {
  Write("one");
  LogTail log = Open();
  ASSERT_GE(log.watch_fd(), 0);
  Write("two");
  pollfd fd = {.fd = log.watch_fd(), .events = POLLIN};
  EXPECT_EQ(poll(&fd, 1, 10000), 1);
  log.DrainEvents();
  EXPECT_EQ(poll(&fd, 1, 0), 0);
}

TEST_F(LogTailTest, FollowsUntilTheContainerHasEndedAndAllIsRead) {
  LogTail log = Open();
  int asked = 0;
  const auto ended = [&]() -> absl::StatusOr<bool> {
    Write(std::to_string(asked));
    return ++asked == 3;
  };
  ASSERT_TRUE(FollowLogs({{.log = &log, .ended = ended}}, {}).ok());
  EXPECT_EQ(Printed(), "0\n1\n2\n");
}

TEST_F(LogTailTest, PassesAnInterruptOn) {
  LogTail log = Open();
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  const UniqueFd read_end(fds[0]), write_end(fds[1]);
  ASSERT_EQ(write(write_end.get(), "x", 1), 1);
  bool stopped = false;
  const auto ended = [&]() -> absl::StatusOr<bool> { return stopped; };
  const FollowHooks hooks{.interrupt_fd = read_end.get(), .on_interrupt = [&] { stopped = true; }};
  EXPECT_TRUE(FollowLogs({{.log = &log, .ended = ended}}, hooks).ok());
  EXPECT_TRUE(stopped);
}

}  // namespace
}  // namespace berth::cli
