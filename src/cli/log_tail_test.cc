#include "src/cli/log_tail.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

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
  const FollowHooks hooks{.ended = [&]() -> absl::StatusOr<bool> {
    Write(std::to_string(asked));
    return ++asked == 3;
  }};
  ASSERT_TRUE(FollowLog(log, hooks).ok());
  EXPECT_EQ(Printed(), "0\n1\n2\n");
}

TEST_F(LogTailTest, PassesAnInterruptOn) {
  LogTail log = Open();
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  const UniqueFd read_end(fds[0]), write_end(fds[1]);
  ASSERT_EQ(write(write_end.get(), "x", 1), 1);
  bool stopped = false;
  const FollowHooks hooks{.ended = [&]() -> absl::StatusOr<bool> { return stopped; },
                          .interrupt_fd = read_end.get(),
                          .on_interrupt = [&] { stopped = true; }};
  EXPECT_TRUE(FollowLog(log, hooks).ok());
  EXPECT_TRUE(stopped);
}

}  // namespace
}  // namespace berth::cli
