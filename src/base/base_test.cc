#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "src/base/id.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/base/undo.h"
#include "src/base/unique_fd.h"

namespace berth {
namespace {

TEST(UniqueFd, ClosesTheOldFdWhenMovedOnto) {
  int first[2], second[2];
  ASSERT_EQ(pipe2(first, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(second, O_CLOEXEC), 0);
  UniqueFd a(first[0]), a_write(first[1]), b(second[0]), b_write(second[1]);
  a = std::move(b);
  EXPECT_EQ(fcntl(first[0], F_GETFD), -1);
  EXPECT_EQ(a.get(), second[0]);
  EXPECT_FALSE(b.valid());
}

TEST(Undo, RunsLastFirstUnlessCommitted) {
  std::string order;
  {
    Undo undo;
    undo.Push([&] { order += "1"; });
    undo.Push([&] { order += "2"; });
  }
  EXPECT_EQ(order, "21");
  {
    Undo undo;
    undo.Push([&] { order += "3"; });
    undo.Commit();
  }
  EXPECT_EQ(order, "21");
}

TEST(NewId, IsFullAndNew) {
  const std::string id = NewId();
  EXPECT_TRUE(IsFullId(id));
  EXPECT_NE(id, NewId());
  EXPECT_FALSE(IsFullId("ABC"));
}

TEST(ErrnoStatus, NamesCallObjectAndCause) {
  const absl::Status status = ErrnoStatus("open", "/nope", ENOENT);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "open /nope: No such file or directory");
  EXPECT_EQ(ErrnoStatus("write", "f", ENOSPC).code(), absl::StatusCode::kResourceExhausted);
}

TEST(Log, EscapesWhatCouldForgeALine) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  UniqueFd read_end(fds[0]), write_end(fds[1]);
  const Log log(LogLevel::kInfo, LogFormat::kText, write_end.get());
  log.Info("pulled", {{"ref", "a\nlevel=error"}, {"bytes", 7}});
  log.Debug("hidden");
  char buffer[512];
  const ssize_t n = read(read_end.get(), buffer, sizeof(buffer));
  ASSERT_GT(n, 0);
  const std::string line(buffer, n);
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_NE(line.find("msg=pulled ref=\"a\\x0alevel=error\" bytes=7"), std::string::npos) << line;
}

}  // namespace
}  // namespace berth
