// The container log: CRI format byte for byte, partial lines, terminals, reopening.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstdio>
#include <sstream>

#include "test/e2e/e2e_test.h"
#include "test/e2e/own_node.h"

namespace berth::e2e {
namespace {

using ::testing::IsEmpty;

class LogTest : public E2eTest {
 protected:
  std::vector<LogRecord> LogOf(const cri::ContainerConfig& config) {
    auto pod = Pod::Run(client(), MakePodConfig(Name()));
    EXPECT_OK(pod);
    if (!pod.ok()) return {};
    auto finished = pod->RunToEnd(config);
    EXPECT_OK(finished);
    return finished.ok() ? finished->log : std::vector<LogRecord>();
  }
  std::vector<LogRecord> Emitted(const std::vector<std::string>& specs,
                                 const std::string& fd = "1") {
    std::vector<std::string> arguments = {"emit", fd};
    arguments.insert(arguments.end(), specs.begin(), specs.end());
    return LogOf(MakeProbe("c", arguments));
  }
};

TEST_F(LogTest, EachStreamKeepsItsOrder) {
  const auto log = LogOf(MakeProbe("c", {"lines", "200"}));
  std::string out, err;
  for (int i = 0; i < 200; ++i) {
    out += "stdout line " + std::to_string(i) + "\n";
    err += "stderr line " + std::to_string(i) + "\n";
  }
  EXPECT_EQ(log.size(), 400u);
  EXPECT_EQ(Joined(log, "stdout"), out);
  EXPECT_EQ(Joined(log, "stderr"), err);
}

TEST_F(LogTest, TimestampsDoNotGoBack) {
  const auto log = LogOf(MakeProbe("c", {"lines", "100"}));
  for (size_t i = 1; i < log.size(); ++i) EXPECT_LE(log[i - 1].timestamp, log[i].timestamp);
}

TEST_F(LogTest, EmptyLineIsARecordWithoutContent) {
  const auto log = Emitted({"nl", "text:x", "nl", "nl"});
  ASSERT_EQ(log.size(), 3u);
  EXPECT_EQ(log[0].content, "");
  EXPECT_EQ(log[1].content, "x");
  for (const LogRecord& record : log) EXPECT_EQ(record.tag, "F");
}

TEST_F(LogTest, BytesAreKept) {
  const auto log = Emitted({"text:a", "nul", "text:b", "cr", "nl", "high:2", "nl"});
  ASSERT_EQ(log.size(), 2u);
  EXPECT_EQ(log[0].content, std::string("a\0b\r", 4));
  EXPECT_EQ(log[1].content, "\xff\xff");
}

TEST_F(LogTest, I_24_LongLineIsSplitIntoPartsThatJoin) {
  const auto log = Emitted({"repeat:x:100000", "nl", "text:next", "nl"});
  ASSERT_GE(log.size(), 3u);
  EXPECT_EQ(Joined(log, "stdout"), std::string(100000, 'x') + "\nnext\n");
  for (size_t i = 0; i + 2 < log.size(); ++i) EXPECT_EQ(log[i].tag, "P") << i;
  EXPECT_EQ(log.back().tag, "F");
}

TEST_F(LogTest, ShortLineIsNeverSplit) {
  const auto log = Emitted({"repeat:x:4096", "nl", "repeat:y:8000", "nl"});
  ASSERT_EQ(log.size(), 2u);
  EXPECT_EQ(log[0].tag, "F");
  EXPECT_EQ(log[1].tag, "F");
}

TEST_F(LogTest, TextWithoutNewlineAtTheEndIsPartial) {
  const auto log = Emitted({"text:first", "nl", "text:tail"});
  ASSERT_EQ(log.size(), 2u);
  EXPECT_EQ(log[0].tag, "F");
  EXPECT_EQ(log[1].tag, "P");
  EXPECT_EQ(log[1].content, "tail");
}

TEST_F(LogTest, SilentContainerHasAnEmptyLog) {
  EXPECT_THAT(LogOf(MakeProbe("c", {"exit", "0"})), IsEmpty());
}

TEST_F(LogTest, StderrIsMarkedAsSuch) {
  const auto log = Emitted({"text:e", "nl"}, "2");
  ASSERT_EQ(log.size(), 1u);
  EXPECT_EQ(log[0].stream, "stderr");
}

TEST_F(LogTest, I_24_ManyMegabytesAreComplete) {
  const auto log = Emitted({"repeat:m:5000000", "nl"});
  EXPECT_EQ(Joined(log, "stdout").size(), 5000001u);
}

TEST_F(LogTest, TerminalGivesOneStreamWithCarriageReturns) {
  cri::ContainerConfig config = MakeProbe("c", {"lines", "2"});
  config.set_tty(true);
  EXPECT_EQ(Joined(LogOf(config), "stdout"),
            "stdout line 0\r\nstderr line 0\r\nstdout line 1\r\nstderr line 1\r\n");
}

TEST_F(LogTest, WhatIsWrittenJustBeforeTheEndIsThereOnceExitedIsSeen) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  for (uint32_t attempt = 0; attempt < 10; ++attempt) {
    cri::ContainerConfig config = MakeProbe("c", {"emit", "1", "repeat:x:30000", "nl"});
    config.mutable_metadata()->set_attempt(attempt);
    config.set_log_path("c/" + std::to_string(attempt) + ".log");
    ASSERT_OK_AND_ASSIGN(const FinishedContainer finished, pod.RunToEnd(config));
    EXPECT_EQ(Joined(finished.log, "stdout").size(), 30001u);
  }
}

TEST_F(LogTest, LogIsNotReadableByOthers) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK(pod.RunToEnd(MakeProbe("c", {"lines", "1"})));
  struct stat info;
  ASSERT_EQ(stat(pod.LogPath("c").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0137, 0u);
}

class ReopenTest : public LogTest {
 protected:
  std::string Content(const std::string& path) {
    const auto log = ReadLog(path);
    return log.ok() ? Joined(*log, "stdout") : "";
  }
  void Tick(const std::string& id) { ASSERT_OK(client().Exec(id, {"/probe", "kill", "1", "10"})); }
  // A container whose first process prints a line at each Tick.
  absl::StatusOr<std::string> RunTicking(Pod& pod) {
    cri::ContainerConfig config = MakeProbe("c", {"tick"});
    NamespaceOptions(config)->set_pid(cri::CONTAINER);
    absl::StatusOr<std::string> id = pod.RunContainer(config);
    if (id.ok() &&
        !Eventually(absl::Seconds(30), [&] { return Content(pod.LogPath("c")) == "ready\n"; })) {
      return absl::DeadlineExceededError("the container does not get ready");
    }
    return id;
  }
  cri::PodSandboxConfig Config() {
    cri::PodSandboxConfig config = MakePodConfig(Name());
    NamespaceOptions(config)->set_pid(cri::CONTAINER);
    return config;
  }
};

TEST_F(ReopenTest, LaterLinesGoToTheNewFile) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), Config()));
  ASSERT_OK_AND_ASSIGN(const std::string id, RunTicking(pod));
  const std::string path = pod.LogPath("c"), rotated = path + ".20260101-000000";
  ASSERT_EQ(rename(path.c_str(), rotated.c_str()), 0);
  ASSERT_NO_FATAL_FAILURE(Tick(id));
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return Content(rotated) == "ready\ntick 1\n"; }));
  ASSERT_OK(client().ReopenLog(id));
  EXPECT_EQ(access(path.c_str(), F_OK), 0) << "the new file is there when the call returns";
  ASSERT_NO_FATAL_FAILURE(Tick(id));
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return Content(path) == "tick 2\n"; }));
  EXPECT_EQ(Content(rotated), "ready\ntick 1\n");
}

// Each writer's lines are all there, in their order, whatever file they went to.
TEST_F(ReopenTest, I_25_NoByteIsLostUnderAFloodOfWriters) {
  constexpr int kWriters = 50, kRotations = 10;
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), Config()));
  cri::ContainerConfig config = MakeProbe("c", {"writers", std::to_string(kWriters)});
  NamespaceOptions(config)->set_pid(cri::CONTAINER);
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  const std::string path = pod.LogPath("c");
  std::vector<std::string> files;
  for (int i = 0; i < kRotations; ++i) {
    absl::SleepFor(absl::Milliseconds(50));  // the interval is what is tested
    files.push_back(path + "." + std::to_string(i));
    ASSERT_EQ(rename(path.c_str(), files.back().c_str()), 0);
    ASSERT_OK(client().ReopenLog(id));
  }
  files.push_back(path);
  ASSERT_OK(client().Stop(id, 60));
  std::vector<int> next(kWriters, 0), ended(kWriters, -1);
  std::string all;
  for (const std::string& file : files) {
    ASSERT_OK_AND_ASSIGN(const auto log, ReadLog(file));
    EXPECT_FALSE(log.empty()) << file;
    all += Joined(log, "stdout");
  }
  std::istringstream stream(all);
  std::string word;
  size_t writer;
  int line;
  while (stream >> word >> writer >> line) {
    ASSERT_LT(writer, next.size());
    if (word == "ended") {
      ended[writer] = line;
      continue;
    }
    ASSERT_EQ(word, "writer");
    ASSERT_EQ(line, next[writer]++);
  }
  EXPECT_TRUE(stream.eof());
  EXPECT_EQ(next, ended);
}

class LogLimitTest : public LogTest {};

TEST_F(LogLimitTest, WhatIsBeyondIsDroppedAndCounted) {
  ASSERT_OK_AND_ASSIGN(OwnNode own,
                       OwnNode::Start(Name(), "[container]\nlog_max_bytes = \"100000\"\n"));
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(own.client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const FinishedContainer finished,
                       pod.RunToEnd(MakeProbe("c", {"lines", "5000"})));
  struct stat info;
  ASSERT_EQ(stat(pod.LogPath("c").c_str(), &info), 0);
  EXPECT_LE(info.st_size, 100000);
  EXPECT_GT(info.st_size, 99000);
  cri::ContainerStatusRequest request;
  request.set_container_id(finished.id);
  request.set_verbose(true);
  ASSERT_OK_AND_ASSIGN(const auto status, own.client().Call(&Runtime::ContainerStatus, request));
  const Json verbose = Json::parse(status.info().at("info"), nullptr, false);
  size_t written = Joined(finished.log, "stdout").size() + Joined(finished.log, "stderr").size();
  size_t said = 0;
  for (int i = 0; i < 5000; ++i)
    said += 2 * (std::string("stdout line \n").size() + std::to_string(i).size());
  EXPECT_EQ(verbose["logDroppedBytes"].get<size_t>(), said - written);
}

TEST_F(LogLimitTest, WhatIsDroppedIsSeenWhileTheContainerRuns) {
  ASSERT_OK_AND_ASSIGN(OwnNode own,
                       OwnNode::Start(Name(), "[container]\nlog_max_bytes = \"20\"\n"));
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(own.client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  request.set_verbose(true);
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] {
    const auto status = own.client().Call(&Runtime::ContainerStatus, request);
    if (!status.ok() || status->status().state() != cri::CONTAINER_RUNNING) return false;
    const Json verbose = Json::parse(status->info().at("info"), nullptr, false);
    return verbose.value("logDroppedBytes", 0) == 6;  // "ready" and its newline
  }));
}

TEST_F(ReopenTest, OnlyRunningContainersReopen) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), Config()));
  ASSERT_OK_AND_ASSIGN(const FinishedContainer finished,
                       pod.RunToEnd(MakeKubeletProbe("c", {"lines", "1"})));
  const std::string path = pod.LogPath("c");
  ASSERT_EQ(rename(path.c_str(), (path + ".1").c_str()), 0);
  EXPECT_CODE(client().ReopenLog(finished.id), kFailedPrecondition, kUnknown);
  EXPECT_NE(access(path.c_str(), F_OK), 0) << "no file is made";
}

TEST_F(ReopenTest, IsFineForAContainerWithoutALog) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), Config()));
  cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  config.clear_log_path();
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  EXPECT_OK(client().ReopenLog(id));
}

}  // namespace
}  // namespace berth::e2e
