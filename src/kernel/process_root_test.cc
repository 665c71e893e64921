#include "src/kernel/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <thread>

#include "src/kernel/file.h"

namespace berth {
namespace {

struct Pipe {
  Pipe() {
    int fds[2];
    EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
    read.reset(fds[0]);
    write.reset(fds[1]);
  }
  UniqueFd read, write;
};

std::string RunAndRead(SpawnRequest request, Pipe& pipe) {
  absl::StatusOr<SpawnedProcess> child = Spawn(request);
  EXPECT_TRUE(child.ok()) << child.status();
  pipe.write.reset();
  absl::StatusOr<std::string> output = ReadFd(pipe.read.get(), 1 << 20, "pipe");
  if (child.ok()) waitid(P_PIDFD, child->pidfd.get(), nullptr, WEXITED);
  return output.value_or("");
}

TEST(Spawn, GivesTheChildExactlyTheNamedFds) {
  Pipe pipe;
  const std::string output = RunAndRead(
      {.path = "/bin/ls", .argv = {"ls", "/proc/self/fd"}, .fds = {-1, pipe.write.get(), -1}},
      pipe);
  EXPECT_EQ(output, "0\n1\n2\n3\n");  // 3 is the directory that ls reads
}

TEST(Spawn, SwapsFdsWithoutLosingOne) {
  Pipe pipe;
  // 0 and 1 of the child are the parent's 1-or-so and 0-or-so: a naive dup2 loop would lose one of
  // them.
  UniqueFd zero(fcntl(0, F_DUPFD_CLOEXEC, 3));
  const std::string output = RunAndRead({.path = "/bin/sh",
                                         .argv = {"sh", "-c", "echo out; echo err >&2"},
                                         .fds = {1, pipe.write.get(), pipe.write.get()}},
                                        pipe);
  EXPECT_EQ(output, "out\nerr\n");
}

TEST(Spawn, InheritsTheOomScoreUnlessTheDefaultIsAskedFor) {
  const std::string path = "/proc/self/oom_score_adj";
  const std::string before = ReadFileAt(AT_FDCWD, path).value_or("");
  // One that was not lowered by privilege may be raised and lowered again.
  std::ofstream(path) << 100;
  for (const bool default_score : {false, true}) {
    Pipe pipe;
    EXPECT_EQ(RunAndRead({.path = "/bin/cat",
                          .argv = {"cat", path},
                          .fds = {-1, pipe.write.get(), -1},
                          .default_oom_score = default_score},
                         pipe),
              default_score ? "0\n" : "100\n");
    EXPECT_EQ(ReadFileAt(AT_FDCWD, path).value_or(""), "100\n") << "ours has changed";
  }
  std::ofstream(path) << before;
}

TEST(Spawn, ReportsWhatCouldNotBeExecuted) {
  absl::StatusOr<SpawnedProcess> child =
      Spawn({.path = "/nope", .argv = {"nope"}, .fds = {-1, -1, -1}});
  EXPECT_EQ(child.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(child.status().message(), "exec /nope: No such file or directory");
}

TEST(Spawn, MountsOfAMountNamespaceStayInIt) {
  const std::string directory = testing::TempDir() + "spawn-mounts";
  ASSERT_TRUE(mkdir(directory.c_str(), 0700) == 0 || errno == EEXIST);
  Pipe pipe;
  const std::string script = "mount -t tmpfs spawned " + directory +
                             " && grep -c ' - tmpfs spawned ' /proc/self/mountinfo";
  EXPECT_EQ(RunAndRead({.path = "/bin/sh",
                        .argv = {"sh", "-c", script},
                        .env = {"PATH=/usr/bin:/bin"},
                        .fds = {-1, pipe.write.get(), -1},
                        .new_mount_namespace = true},
                       pipe),
            "1\n");
  std::ifstream mounts("/proc/self/mountinfo");
  const std::string ours((std::istreambuf_iterator<char>(mounts)), {});
  EXPECT_EQ(ours.find(" - tmpfs spawned "), std::string::npos);
  EXPECT_EQ(rmdir(directory.c_str()), 0);
}

TEST(Spawn, LeavesOurDescriptorsAlone) {
  std::vector<UniqueFd> low, high;
  for (int i = 0; i < 20; ++i) {
    low.push_back(UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC)));
    high.push_back(SetAside(UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC))));
  }
  EXPECT_GT(high.front().get(), low.back().get());
  Pipe pipe;
  EXPECT_EQ(RunAndRead({.path = "/bin/ls",
                        .argv = {"ls", "/proc/self/fd"},
                        .fds = {-1, pipe.write.get(), high.back().get()}},
                       pipe),
            "0\n1\n2\n3\n");
  for (const std::vector<UniqueFd>* fds : {&low, &high}) {
    for (const UniqueFd& fd : *fds) EXPECT_NE(fcntl(fd.get(), F_GETFD), -1) << fd.get();
  }
}

TEST(Spawn, WorksFromManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        absl::StatusOr<SpawnedProcess> child =
            Spawn({.path = "/bin/true", .argv = {"true"}, .fds = {-1, -1, -1}});
        siginfo_t info = {};
        if (child.ok() && waitid(P_PIDFD, child->pidfd.get(), &info, WEXITED) == 0 &&
            info.si_status == 0)
          ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 160);
}

TEST(SealedCopy, RunsAndCannotBeWritten) {
  absl::StatusOr<UniqueFd> copy = SealedCopy("/bin/echo");
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_LT(write(copy->get(), "x", 1), 0);
  Pipe pipe;
  EXPECT_EQ(
      RunAndRead(
          {.executable_fd = copy->get(), .argv = {"echo", "hi"}, .fds = {-1, pipe.write.get(), -1}},
          pipe),
      "hi\n");
}

}  // namespace
}  // namespace berth
