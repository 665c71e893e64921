// What runs out: file systems, in bytes and in inodes, descriptors, processes and
// threads (docs/reliability.md: I-27, I-36, I-38). The error names the object and the cause, what
// is there can be stopped and removed, and afterwards all is as before.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/unique_fd.h"
#include "src/kernel/socket.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/own_node.h"
#include "test/e2e/text_file.h"

namespace berth::e2e {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr char kNode[] = "exhausted";

// A file system of its own at a path, which a test fills.
class SmallFileSystem {
 public:
  explicit SmallFileSystem(const std::string& path) : path_(path) {
    fs::create_directories(path);
    EXPECT_EQ(mount("e2e-small", path.c_str(), "tmpfs", 0, "size=64m,nr_inodes=8000,mode=0700"), 0);
  }
  ~SmallFileSystem() {
    EXPECT_EQ(umount2(path_.c_str(), MNT_DETACH), 0);
    std::error_code ignored;
    fs::remove_all(path_, ignored);
    fs::remove(fs::path(path_).parent_path(), ignored);  // the daemon's directory, if it was in it
  }
  void FillBytes() {
    const UniqueFd file(open((path_ + "/filler").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    const std::string block(1 << 16, 'f');
    for (size_t size = block.size(); size > 0;) {
      if (write(file.get(), block.data(), size) < 0) size /= 2;
    }
    EXPECT_EQ(write(file.get(), "x", 1), -1);
  }
  void FillInodes() {
    fs::create_directories(path_ + "/fillers");
    int made = 0;
    while (mknod(absl::StrCat(path_, "/fillers/", made).c_str(), S_IFREG | 0600, 0) == 0) ++made;
    EXPECT_EQ(errno, ENOSPC);
  }
  void Empty() {
    std::error_code ignored;
    fs::remove(path_ + "/filler", ignored);
    fs::remove_all(path_ + "/fillers", ignored);
  }

 private:
  const std::string path_;
};

enum class Part { kData, kState, kLogs };
enum class Resource { kBytes, kInodes };

struct FullCase {
  const char* name;
  Part part;
  Resource resource;
};
std::ostream& operator<<(std::ostream& out, const FullCase& full) { return out << full.name; }

class FullFileSystemTest : public E2eTest, public testing::WithParamInterface<FullCase> {
 protected:
  static std::string PathOf(Part part) {
    const std::string dir = Node::OptionsFor(kNode, 2).dir;
    switch (part) {
      case Part::kData:
        return dir + "/data";
      case Part::kState:
        return dir + "/state";
      case Part::kLogs:
        return NodeDir() + "/small-logs";
    }
    return "";
  }
  cri::PodSandboxConfig ConfigOf(const std::string& suffix) const {
    cri::PodSandboxConfig config = MakePodConfig(Name(suffix));
    if (GetParam().part == Part::kLogs)
      config.set_log_directory(absl::StrCat(PathOf(Part::kLogs), "/", suffix));
    return config;
  }
  static void ExpectOutOfSpace(const absl::Status& status) {
    EXPECT_CODE(status, kResourceExhausted);
    EXPECT_THAT(std::string(status.message()), HasSubstr("o space left on device"));
  }
};

TEST_P(FullFileSystemTest, I_36_ErrorIsClearAndStopRemoveAndRestartWork) {
  SmallFileSystem small(PathOf(GetParam().part));
  ASSERT_OK_AND_ASSIGN(OwnNode own, OwnNode::Start(kNode, ""));
  Client& client = own.client();
  ASSERT_OK_AND_ASSIGN(Pod first, Pod::Run(client, ConfigOf("-first")));
  ASSERT_OK_AND_ASSIGN(const std::string stopped,
                       first.RunContainer(MakeProbe("stopped", {"term-exit", "7"})));
  ASSERT_OK_AND_ASSIGN(const std::string kept, first.RunContainer(MakeProbe("kept", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const std::string made, first.Create(MakeProbe("made", {"exit", "3"})));
  ASSERT_OK_AND_ASSIGN(Pod second, Pod::Run(client, ConfigOf("-second")));
  ASSERT_OK_AND_ASSIGN(const std::string removed,
                       second.RunContainer(MakeProbe("removed", {"sleep"})));
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] {
    const auto log = ReadLog(first.LogPath("stopped"));
    return log.ok() && Joined(*log, "stdout") == "ready\n";
  }));
  if (GetParam().resource == Resource::kBytes) {
    small.FillBytes();
  } else {
    small.FillInodes();
  }
  // Of bytes a directory and a socket of tmpfs take none.
  const bool pods_fail = GetParam().part == Part::kData || GetParam().resource == Resource::kInodes;
  std::vector<std::string> more;  // their directories had been made before
  if (pods_fail) {
    absl::StatusOr<std::string> run;
    while ((run = client.RunPod(ConfigOf(absl::StrCat("-", more.size())))).ok() &&
           more.size() < 100)
      more.push_back(*run);
    ExpectOutOfSpace(run.status());
  }
  ASSERT_OK_AND_ASSIGN(const auto pods, client.ListPods());
  EXPECT_EQ(pods.size(), 2 + more.size());
  ASSERT_OK_AND_ASSIGN(const auto exec, client.Exec(kept, {"/probe", "exit", "5"}));
  EXPECT_EQ(exec.exit_code(), 5);
  // A start needs a log file, and a place for its exit record.
  const absl::Status started = client.Start(made);
  if (!started.ok()) ExpectOutOfSpace(started);
  EXPECT_OK(client.Stop(stopped, 30));
  ASSERT_OK_AND_ASSIGN(const auto exit, client.ContainerStatus(stopped));
  EXPECT_EQ(exit.exit_code(), 7);
  EXPECT_OK(client.Remove(removed));
  EXPECT_OK(client.StopPod(second.id()));

  ASSERT_OK(own.daemon().Kill());
  ASSERT_OK(own.daemon().StartAgain());
  own.Reconnect();
  ASSERT_OK_AND_ASSIGN(const auto still, client.ContainerStatus(stopped));
  EXPECT_EQ(still.state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(still.exit_code(), 7);
  ASSERT_OK_AND_ASSIGN(const auto runs, client.ContainerStatus(kept));
  EXPECT_EQ(runs.state(), cri::CONTAINER_RUNNING);
  EXPECT_OK(client.RemovePod(second.id()));
  // And after an orderly end too.
  ASSERT_OK(own.daemon().Terminate());
  ASSERT_OK(own.daemon().StartAgain());
  own.Reconnect();
  EXPECT_OK(client.StopPod(first.id()));
  EXPECT_OK(client.RemovePod(first.id()));

  small.Empty();
  for (const std::string& id : more) {
    EXPECT_OK(client.StopPod(id));
    EXPECT_OK(client.RemovePod(id));
  }
  ASSERT_OK_AND_ASSIGN(Pod again, Pod::Run(client, ConfigOf("-again")));
  ASSERT_OK_AND_ASSIGN(const auto works, again.RunToEnd(MakeProbe("c", {"exit", "4"})));
  EXPECT_EQ(works.status.exit_code(), 4);
}

INSTANTIATE_TEST_SUITE_P(, FullFileSystemTest,
                         testing::Values(FullCase{"DataBytes", Part::kData, Resource::kBytes},
                                         FullCase{"DataInodes", Part::kData, Resource::kInodes},
                                         FullCase{"StateBytes", Part::kState, Resource::kBytes},
                                         FullCase{"StateInodes", Part::kState, Resource::kInodes},
                                         FullCase{"LogBytes", Part::kLogs, Resource::kBytes},
                                         FullCase{"LogInodes", Part::kLogs, Resource::kInodes}),
                         [](const auto& info) { return std::string(info.param.name); });

class ExhaustionTest : public E2eTest {
 protected:
  static size_t DescriptorsOf(pid_t pid) {
    const fs::directory_iterator entries(absl::StrCat("/proc/", pid, "/fd"));
    return static_cast<size_t>(std::distance(begin(entries), end(entries)));
  }
  static void LimitDescriptors(pid_t pid, rlim_t count) {
    rlimit limit = {};
    ASSERT_EQ(prlimit(pid, RLIMIT_NOFILE, nullptr, &limit), 0);
    limit.rlim_cur = count;
    ASSERT_EQ(prlimit(pid, RLIMIT_NOFILE, &limit, nullptr), 0);
  }
};

TEST_F(ExhaustionTest, I_27_DescriptorLimitIsRaisedToTheHardOne) {
  rlimit limit = {};
  ASSERT_EQ(prlimit(node().daemon().pid(), RLIMIT_NOFILE, nullptr, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, limit.rlim_max);
}

TEST_F(ExhaustionTest, I_27_WithoutDescriptorsErrorsAreClearAndAllWorksAfterwards) {
  ASSERT_OK_AND_ASSIGN(OwnNode own, OwnNode::Start(kNode, ""));
  Client& client = own.client();
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client, MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"term-exit", "7"})));
  const pid_t daemon = own.daemon().pid();
  rlimit before = {};
  ASSERT_EQ(prlimit(daemon, RLIMIT_NOFILE, nullptr, &before), 0);
  // None at all, then a few more each time: an operation may fail at each of its steps.
  for (const int spare : {0, 1, 2, 3, 5, 8}) {
    LimitDescriptors(daemon, DescriptorsOf(daemon) + static_cast<rlim_t>(spare));
    for (const absl::Status& status : {client.RunPod(MakePodConfig(Name("-refused"))).status(),
                                       client.Exec(id, {"/probe", "exit", "0"}).status()}) {
      if (status.ok()) continue;
      EXPECT_CODE(status, kResourceExhausted) << spare;
      EXPECT_THAT(std::string(status.message()), HasSubstr("oo many open files")) << spare;
    }
    EXPECT_OK(client.ListPods());
    EXPECT_OK(client.ListContainers());
    ASSERT_OK_AND_ASSIGN(const auto status, client.ContainerStatus(id));
    EXPECT_EQ(status.state(), cri::CONTAINER_RUNNING) << spare;
    ASSERT_EQ(prlimit(daemon, RLIMIT_NOFILE, &before, nullptr), 0);
    ASSERT_OK_AND_ASSIGN(const auto pods, client.ListPods());
    for (const cri::PodSandbox& each : pods) {
      if (each.id() != pod.id()) {
        EXPECT_OK(client.RemovePod(each.id()));
      }
    }
  }
  EXPECT_OK(client.Stop(id, 30));
  ASSERT_OK_AND_ASSIGN(const auto exit, client.ContainerStatus(id));
  EXPECT_EQ(exit.exit_code(), 7);
  EXPECT_OK(client.RemovePod(pod.id()));
  ASSERT_OK_AND_ASSIGN(Pod again, Pod::Run(client, MakePodConfig(Name("-again"))));
}

// A process in a cgroup of its own, whose pids.max can be set; back where it was at the end.
class ProcessLimit {
 public:
  ProcessLimit(pid_t pid, const std::string& group) : pid_(absl::StrCat(pid)) {
    for (const std::string& directory : MakeCgroup(group)) {
      if (fs::exists(directory + "/pids.max")) directory_ = directory;
    }
    if (directory_.empty()) return;
    for (const absl::string_view line :
         absl::StrSplit(ContentOf("/proc/" + pid_ + "/cgroup"), '\n', absl::SkipEmpty())) {
      const std::vector<std::string> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
      if (fields[1] == "pids") home_ = "/sys/fs/cgroup/pids" + fields[2];
      if (fields[1].empty() && home_.empty()) home_ = "/sys/fs/cgroup" + fields[2];
    }
    std::ofstream(directory_ + "/cgroup.procs") << pid_;
    EXPECT_THAT(ContentOf(directory_ + "/cgroup.procs"), HasSubstr(pid_));
  }
  ~ProcessLimit() {
    if (!directory_.empty()) std::ofstream(home_ + "/cgroup.procs") << pid_;
  }
  // False without a pids controller.
  bool possible() const { return !directory_.empty(); }
  // cgroup2 counts a process where it is born into, which is not the caller's own.
  bool counts_children() const { return absl::StrContains(directory_, "/pids/"); }
  // As many processes and threads as there are, and `spare` more.
  void Set(int spare) {
    int current = 0;
    ASSERT_TRUE(absl::SimpleAtoi(ContentOf(directory_ + "/pids.current"), &current));
    std::ofstream(directory_ + "/pids.max") << current + spare;
  }
  void Lift() { std::ofstream(directory_ + "/pids.max") << "max"; }

 private:
  const std::string pid_;
  std::string directory_, home_;
};

// EAGAIN of clone(2): no process and no thread more.
TEST_F(ExhaustionTest, I_38_WithoutProcessesErrorsAreClearAndStopAndRemoveWork) {
  ASSERT_OK_AND_ASSIGN(OwnNode own, OwnNode::Start(kNode, "[container]\nready_monitors = \"0\"\n"));
  Client& client = own.client();
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client, MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"term-exit", "7"})));
  ASSERT_OK_AND_ASSIGN(const std::string other, pod.RunContainer(MakeProbe("d", {"sleep"})));
  // Calls at once, whose threads berthd keeps.
  std::vector<std::thread> calls;
  for (int i = 0; i < 4; ++i) {
    calls.emplace_back([&] {
      EXPECT_CODE(client.Exec(other, {"/probe", "sleep"}, 1).status(), kDeadlineExceeded);
    });
  }
  for (std::thread& call : calls) call.join();
  ProcessLimit limit(own.daemon().pid(), absl::StrCat("/", NodeName(), "/kubepods/daemon"));
  if (!limit.possible()) GTEST_SKIP() << "no pids controller";
  ASSERT_NO_FATAL_FAILURE(limit.Set(0));
  for (const absl::Status& status : {client.RunPod(MakePodConfig(Name("-refused"))).status(),
                                     client.Pull(node().probe_image()).status()}) {
    if (status.ok() && !limit.counts_children()) continue;
    EXPECT_CODE(status, kResourceExhausted, kUnavailable);
    EXPECT_THAT(std::string(status.message()), HasSubstr("temporarily unavailable"));
  }
  ASSERT_OK_AND_ASSIGN(const auto pods, client.ListPods());
  EXPECT_EQ(pods.size(), 1u);
  EXPECT_OK(client.Stop(id, 30));
  ASSERT_OK_AND_ASSIGN(const auto exit, client.ContainerStatus(id));
  EXPECT_EQ(exit.exit_code(), 7);
  EXPECT_OK(client.Remove(id));
  EXPECT_OK(client.StopPod(pod.id()));
  EXPECT_OK(client.RemovePod(pod.id()));
  limit.Lift();
  ASSERT_OK_AND_ASSIGN(Pod again, Pod::Run(client, MakePodConfig(Name("-again"))));
}

TEST_F(ExhaustionTest, I_38_StartWithoutThreadsFailsWithAnError) {
  std::string group;
  for (const std::string& directory :
       MakeCgroup(absl::StrCat("/", NodeName(), "/kubepods/daemon"))) {
    if (fs::exists(directory + "/pids.max")) group = directory;
  }
  if (group.empty()) GTEST_SKIP() << "no pids controller";
  Daemon::Options options = Node::OptionsFor(kNode, 2);
  options.prefix = {"/bin/sh", "-c", "echo $$ > " + group + "/cgroup.procs; exec \"$@\"", "sh"};
  for (const int most : {2, 8, 16, 24}) {
    std::ofstream(group + "/pids.max") << most;
    ASSERT_OK_AND_ASSIGN(const FailedStart failed, StartExpectingFailure(options));
    EXPECT_EQ(failed.exit_code, 1) << most;
    EXPECT_THAT(failed.output,
                AllOf(HasSubstr("berthd ends"), AnyOf(HasSubstr("thread"), HasSubstr("clone3")),
                      HasSubstr("temporarily unavailable")))
        << most;
  }
  std::ofstream(group + "/pids.max") << "max";
  ASSERT_OK_AND_ASSIGN(Daemon daemon, Daemon::Start(options));
  EXPECT_OK(daemon.Terminate());
  RemoveTraces(daemon);
}

// gRPC starts a thread when its first timer strikes, and waits at its end for one that it did not
// get.
TEST_F(ExhaustionTest, I_38_EndsThoughAThreadWasNotToBeHad) {
  Daemon::Options options = Node::OptionsFor(kNode, 2);
  options.ready_networks = 0;
  options.more_config = "[grpc]\nkeepalive_seconds = \"10\"\n";
  ASSERT_OK_AND_ASSIGN(Daemon daemon, Daemon::Start(options));
  {
    ProcessLimit limit(daemon.pid(), absl::StrCat("/", NodeName(), "/kubepods/daemon"));
    if (!limit.possible()) GTEST_SKIP() << "no pids controller";
    ASSERT_NO_FATAL_FAILURE(limit.Set(0));
    // RFC 9113: the preface and an empty SETTINGS frame. Who is silent then is sent a PING frame.
    constexpr absl::string_view kSilent("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", 33);
    constexpr absl::string_view kPing("\0\0\x08\x06\0", 5);
    ASSERT_OK_AND_ASSIGN(const UniqueFd silent, ConnectUnix(daemon.socket(), SOCK_STREAM));
    ASSERT_EQ(send(silent.get(), kSilent.data(), kSilent.size(), 0),
              static_cast<ssize_t>(kSilent.size()));
    std::string heard;
    char bytes[256];
    for (ssize_t length = 0; !absl::StrContains(heard, kPing) &&
                             (length = read(silent.get(), bytes, sizeof bytes)) > 0;)
      heard.append(bytes, static_cast<size_t>(length));
    EXPECT_TRUE(absl::StrContains(heard, kPing));
  }
  EXPECT_OK(daemon.Terminate());
  RemoveTraces(daemon);
}

}  // namespace
}  // namespace berth::e2e
