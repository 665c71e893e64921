// The program `berth` and its sessions: exec, attach, run -it, port-forward, logs -f, on pipes and
// on terminals.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "test/e2e/berth_command.h"
#include "test/e2e/e2e_test.h"

namespace berth::e2e {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr char kDetach[] = "\x10\x11";
constexpr char kPrompt[] = "# ";

class CliTest : public E2eTest {
 protected:
  void SetUp() override {
    // Where `berth run` keeps logs: made by the first run, and kept.
    const std::string logs = Node::OptionsFor("berth", 1).dir + "/logs";
    std::filesystem::create_directories(logs);
    std::filesystem::permissions(logs, std::filesystem::perms::owner_all);
    E2eTest::SetUp();
  }
  void TearDown() override {
    pod_.reset();
    for (const std::string& name : run_pods_) Berth({"rm", "-f", name});
    if (!busybox_.empty()) {
      EXPECT_OK(client().RemoveImage(busybox_));
    }
    E2eTest::TearDown();
  }
  const std::string& socket() {
    socket_ = node().daemon().socket();
    return socket_;
  }
  CommandResult Berth(const std::vector<std::string>& arguments, const std::string& input = "") {
    auto result = RunBerth(socket(), arguments, input);
    EXPECT_OK(result);
    return result.ok() ? *std::move(result) : CommandResult{};
  }
  // Debian's busybox, for what needs a shell.
  std::string Busybox() {
    if (busybox_.empty()) {
      busybox_ = node().registry().Add("busybox", "cli", Build(BusyboxRecipe()));
      EXPECT_OK(client().Pull(busybox_));
    }
    return busybox_;
  }
  cri::ContainerConfig Shell(const std::string& name, const std::vector<std::string>& command) {
    cri::ContainerConfig config = MakeProbe(name, {});
    config.mutable_image()->set_image(Busybox());
    config.clear_command();
    config.clear_args();
    for (const std::string& word : command) config.add_command(word);
    return config;
  }
  Pod& pod() {
    if (!pod_.has_value()) {
      auto pod = Pod::Run(client(), MakePodConfig(Name()));
      EXPECT_OK(pod);
      pod_.emplace(*std::move(pod));
    }
    return *pod_;
  }
  // A running container; its id.
  std::string Run(const cri::ContainerConfig& config) {
    auto id = pod().RunContainer(config);
    EXPECT_OK(id);
    return id.value_or("");
  }
  Terminal OnTerminal(const std::vector<std::string>& arguments, int rows = 24, int columns = 80) {
    auto terminal = Terminal::Start(socket(), arguments, rows, columns);
    EXPECT_OK(terminal);
    return *std::move(terminal);
  }
  // Until so many sessions have been attached to the container, by what the daemon says.
  void AwaitAttached(const std::string& id, size_t count) {
    const std::string begun = absl::StrCat("\"session begun\" kind=attach id=", id);
    EXPECT_TRUE(Eventually(absl::Seconds(30), [&] {
      const std::vector<std::string> parts = absl::StrSplit(node().daemon().Log(), begun);
      return parts.size() > count;
    }));
  }
  // A name for `berth run`, whose pod is removed at the end.
  std::string RunName() {
    run_pods_.push_back(absl::StrCat("run-", run_pods_.size(), "-", getpid()));
    return run_pods_.back();
  }

 private:
  std::string socket_, busybox_;
  std::optional<Pod> pod_;
  std::vector<std::string> run_pods_;
};

// --- exec

TEST_F(CliTest, ExecKeepsTheStreamsApart) {
  const std::string id = Run(MakeProbe("c", {"sleep"}));
  const CommandResult result = Berth({"exec", id, "/probe", "lines", "2"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out, "stdout line 0\nstdout line 1\n");
  EXPECT_EQ(result.err, "stderr line 0\nstderr line 1\n");
}

TEST_F(CliTest, ExecEndsWithTheCommandsCode) {
  const std::string id = Run(MakeProbe("c", {"sleep"}));
  for (const int code : {0, 1, 7, 255})
    EXPECT_EQ(Berth({"exec", id, "/probe", "exit", std::to_string(code)}).code, code);
  EXPECT_EQ(Berth({"exec", id, "/probe", "die-of", "9"}).code, 137);
}

TEST_F(CliTest, ExecTellsWhyNothingRan) {
  const std::string id = Run(MakeProbe("c", {"sleep"}));
  for (const std::vector<std::string>& flags : {std::vector<std::string>{"exec"}, {"exec", "-i"}}) {
    std::vector<std::string> missing = flags, text = flags, nobody = flags;
    missing.insert(missing.end(), {id, "/nope"});
    text.insert(text.end(), {id, "/etc/passwd"});
    nobody.insert(nobody.end(), {"nobody-has-this-name", "/probe"});
    CommandResult result = Berth(missing);
    EXPECT_EQ(result.code, 127) << result.err;
    EXPECT_THAT(result.err, HasSubstr("exec: "));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    result = Berth(text);
    EXPECT_EQ(result.code, 126) << result.err;
    EXPECT_EQ(Berth(nobody).code, 125);
  }
}

TEST_F(CliTest, ExecPassesInputAndItsEnd) {
  const std::string id = Run(MakeProbe("c", {"sleep"}));
  EXPECT_EQ(Berth({"exec", "-i", id, "/probe", "stdin"}, "hello\n").out, "hello\nend\n");
  EXPECT_EQ(Berth({"exec", "-i", id, "/probe", "stdin"}, "").out, "end\n");
  EXPECT_EQ(Berth({"exec", id, "/probe", "stdin"}, "not passed on").out, "end\n");
}

TEST_F(CliTest, ExecCarriesMuchBothWays) {
  const std::string id = Run(MakeProbe("c", {"sleep"}));
  std::string much;
  for (int i = 0; much.size() < 20'000'000; ++i) absl::StrAppend(&much, i, "\n");
  const CommandResult result = Berth({"exec", "-i", id, "/probe", "stdin"}, much);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(result.out == much + "end\n") << result.out.size() << " bytes";
}

TEST_F(CliTest, ExecInAContainerThatDoesNotRun) {
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().Create(MakeProbe("c", {"sleep"})));
  const CommandResult result = Berth({"exec", id, "/probe", "exit", "0"});
  EXPECT_EQ(result.code, 125);
  EXPECT_THAT(result.err, HasSubstr("not running"));
  EXPECT_THAT(result.err, HasSubstr("hint: "));
}

TEST_F(CliTest, ATerminalIsAskedForWhereThereIsNone) {
  const std::string id = Run(MakeProbe("c", {"sleep"}));
  const CommandResult result = Berth({"exec", "-it", id, "/probe", "report"});
  EXPECT_EQ(result.code, 125);
  EXPECT_THAT(result.err, HasSubstr("the input is not a terminal"));
}

TEST_F(CliTest, ExecOnATerminalFollowsItsSize) {
  const std::string id = Run(Shell("c", {"sleep", "1000"}));
  Terminal terminal = OnTerminal({"exec", "-it", id, "sh"}, 41, 121);
  ASSERT_OK(terminal.Expect(kPrompt));
  EXPECT_FALSE(terminal.IsCooked());
  ASSERT_OK(terminal.Type("busybox stty size\r"));
  EXPECT_OK(terminal.Expect("41 121"));
  terminal.Resize(17, 63);
  // The change goes its own way: it is seen a moment later.
  bool seen = false;
  for (int tries = 0; tries < 100 && !seen; ++tries) {
    ASSERT_OK(terminal.Type("busybox stty size; echo again\r"));
    ASSERT_OK(terminal.Expect("echo again"));
    ASSERT_OK_AND_ASSIGN(const std::string shown, terminal.Expect("again"));
    seen = absl::StrContains(shown, "17 63");
  }
  EXPECT_TRUE(seen);
  ASSERT_OK(terminal.Type("exit 5\r"));
  EXPECT_EQ(terminal.Wait(), 5);
  EXPECT_TRUE(terminal.IsCooked());
}

TEST_F(CliTest, CtrlCGoesToTheCommandOnTheTerminal) {
  const std::string id = Run(Shell("c", {"sleep", "1000"}));
  Terminal terminal =
      OnTerminal({"exec", "-it", id, "sh", "-c",
                  "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 1; done"});
  ASSERT_OK(terminal.Expect("ready"));
  ASSERT_OK(terminal.Type("\x03"));
  EXPECT_OK(terminal.Expect("caught"));
  EXPECT_EQ(terminal.Wait(), 9);
  EXPECT_TRUE(terminal.IsCooked());
}

TEST_F(CliTest, TheTerminalIsGivenBackAfterEachSignal) {
  const std::string id = Run(Shell("c", {"sleep", "1000"}));
  for (const int signal_number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGABRT, SIGSEGV}) {
    Terminal terminal = OnTerminal({"exec", "-it", id, "sh"});
    ASSERT_OK(terminal.Expect(kPrompt));
    EXPECT_FALSE(terminal.IsCooked());
    terminal.Signal(signal_number);
    EXPECT_EQ(terminal.Wait(), 128 + signal_number);
    EXPECT_TRUE(terminal.IsCooked()) << signal_number;
  }
}

TEST_F(CliTest, TheTerminalIsGivenBackWhenTheContainerIsKilled) {
  const std::string id = Run(Shell("c", {"sleep", "1000"}));
  Terminal terminal = OnTerminal({"exec", "-it", id, "sh"});
  ASSERT_OK(terminal.Expect(kPrompt));
  ASSERT_OK(client().Stop(id, 0));
  EXPECT_THAT(terminal.Wait(), AnyOf(125, 137, 129));
  EXPECT_TRUE(terminal.IsCooked());
}

// A tmux server of the test's own, with one window.
class Tmux {
 public:
  explicit Tmux(const std::string& socket) : socket_(socket) {}
  ~Tmux() {
    Do({"kill-server"});
    unlink(socket_.c_str());
  }
  std::string Do(const std::vector<std::string>& arguments) const {
    std::vector<std::string> argv = {"/usr/bin/tmux", "-u", "-f", "/dev/null", "-S", socket_};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    auto child = Child::Start(argv);
    if (!child.ok()) return "";
    std::string text;
    ReadUntil(child->pipes().out.get(), "the end", &text).status().IgnoreError();
    child->Wait(absl::Seconds(30));
    return text;
  }
  bool Shows(const std::string& text) const {
    return Eventually(absl::Seconds(30), [&] {
      return absl::StrContains(Do({"capture-pane", "-p", "-J"}), text);
    });
  }

 private:
  const std::string socket_;
};

TEST_F(CliTest, TmuxDrivesASessionWithResize) {
  if (access("/usr/bin/tmux", X_OK) != 0) GTEST_SKIP() << "tmux is not installed";
  const std::string id = Run(Shell("c", {"sleep", "1000"}));
  const Tmux tmux(absl::StrCat(NodeDir(), "/tmux.sock"));
  std::vector<std::string> start = {"new-session", "-d", "-x", "100", "-y", "30", "-s", "berth"};
  const std::vector<std::string> berth = BerthArgv(socket(), {"exec", "-it", id, "sh"});
  start.push_back(absl::StrCat(absl::StrJoin(berth, " "), "; echo \"left with $?\"; cat"));
  tmux.Do(start);
  ASSERT_TRUE(tmux.Shows("#"));
  tmux.Do({"send-keys", "busybox stty size", "Enter"});
  EXPECT_TRUE(tmux.Shows("30 100"));
  tmux.Do({"resize-window", "-x", "71", "-y", "19"});
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] {
    tmux.Do({"send-keys", "busybox stty size", "Enter"});
    return absl::StrContains(tmux.Do({"capture-pane", "-p", "-J"}), "19 71");
  }));
  tmux.Do({"send-keys", "exit 4", "Enter"});
  EXPECT_TRUE(tmux.Shows("left with 4"));
}

// --- attach

TEST_F(CliTest, SeveralAttachAndDetachAndTheContainerGoesOn) {
  cri::ContainerConfig config = Shell("c", {"sh"});
  config.set_tty(true);
  config.set_stdin(true);
  const std::string id = Run(config);
  Terminal first = OnTerminal({"attach", id});
  ASSERT_OK(first.Type("\r"));
  ASSERT_OK(first.Expect(kPrompt));
  Terminal second = OnTerminal({"attach", "--detach-keys", "ctrl-a,d", id});
  ASSERT_OK(second.Type("echo to-b\"\"oth\r"));
  EXPECT_OK(first.Expect("to-both"));
  EXPECT_OK(second.Expect("to-both"));
  ASSERT_OK(first.Type(kDetach));
  EXPECT_EQ(first.Wait(), 0);
  EXPECT_TRUE(first.IsCooked());
  ASSERT_OK(second.Type("echo still-h\"\"ere\r"));
  EXPECT_OK(second.Expect("still-here"));
  ASSERT_OK(
      second.Type("\x01"
                  "d"));
  EXPECT_EQ(second.Wait(), 0);
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
  EXPECT_EQ(status.state(), cri::CONTAINER_RUNNING);
  Terminal third = OnTerminal({"attach", id});
  ASSERT_OK(third.Type("exit 6\r"));
  EXPECT_EQ(third.Wait(), 6);
}

TEST_F(CliTest, AttachOnPipesEndsWithTheContainersCode) {
  cri::ContainerConfig config = MakeProbe("c", {"stdin"});
  config.set_stdin(true);
  config.set_stdin_once(true);
  const std::string id = Run(config);
  const CommandResult result = Berth({"attach", id}, "typed\n");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "typed\nend\n");
}

TEST_F(CliTest, AttachWithoutStdinOnlyLooksOn) {
  cri::ContainerConfig config = MakeProbe("c", {"term-exit", "4"});
  config.set_stdin(true);
  const std::string id = Run(config);
  ASSERT_OK_AND_ASSIGN(Child child,
                       Child::Start(BerthArgv(socket(), {"attach", "--no-stdin", id})));
  AwaitAttached(id, 1);
  ASSERT_OK(client().Stop(id, 60));
  EXPECT_EQ(child.Wait(absl::Seconds(30)), 4);
}

TEST_F(CliTest, CtrlCLeavesAnAttachedContainerAloneUnlessItIsPassedOn) {
  cri::ContainerConfig config = MakeProbe("c", {"term-exit", "4"});
  config.set_stdin(true);
  const std::string id = Run(config);
  ASSERT_OK_AND_ASSIGN(Child looker, Child::Start(BerthArgv(socket(), {"attach", id})));
  AwaitAttached(id, 1);
  ::kill(looker.pid(), SIGINT);
  EXPECT_EQ(looker.Wait(absl::Seconds(30)), 130);
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
  EXPECT_EQ(status.state(), cri::CONTAINER_RUNNING);
  ASSERT_OK_AND_ASSIGN(Child proxy,
                       Child::Start(BerthArgv(socket(), {"attach", "--sig-proxy", id})));
  AwaitAttached(id, 2);
  ::kill(proxy.pid(), SIGINT);
  EXPECT_THAT(proxy.Wait(absl::Seconds(30)), AnyOf(4, 130));
}

// --- run

TEST_F(CliTest, RunOnATerminalPassesTheCodeOnAndLeavesNothing) {
  const std::string image = Busybox(), name = RunName();
  Terminal terminal = OnTerminal({"run", "--rm", "-it", "--name", name, image, "sh"});
  ASSERT_OK(terminal.Expect(kPrompt));  // the first one: nothing of the start is missed
  ASSERT_OK(terminal.Type("busybox stty size\r"));
  EXPECT_OK(terminal.Expect("24 80"));
  ASSERT_OK(terminal.Type("exit 3\r"));
  EXPECT_EQ(terminal.Wait(), 3);
  EXPECT_TRUE(terminal.IsCooked());
  EXPECT_THAT(Berth({"pods", "-q"}).out, IsEmpty());
}

TEST_F(CliTest, RunPassesInputOn) {
  const CommandResult result =
      Berth({"run", "--rm", "-i", "--name", RunName(), node().probe_image(), "stdin"}, "piped\n");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "piped\nend\n");
}

TEST_F(CliTest, RunOfAMissingCommandOnATerminal) {
  const std::string image = Busybox();
  Terminal terminal = OnTerminal({"run", "--rm", "-it", "--name", RunName(), image, "/nope"});
  EXPECT_EQ(terminal.Wait(), 127);
  EXPECT_TRUE(terminal.IsCooked());
  EXPECT_THAT(Berth({"pods", "-q"}).out, IsEmpty());
}

TEST_F(CliTest, RunIsDetachedFromAndReturnedTo) {
  const std::string image = Busybox(), name = RunName();
  Terminal terminal = OnTerminal({"run", "-it", "--name", name, image, "sh"});
  ASSERT_OK(terminal.Expect(kPrompt));
  ASSERT_OK(terminal.Type(kDetach));
  EXPECT_EQ(terminal.Wait(), 0);
  Terminal again = OnTerminal({"attach", name});
  ASSERT_OK(again.Type("exit 8\r"));
  EXPECT_EQ(again.Wait(), 8);
}

// --- port-forward

UniqueFd ConnectTo(const std::string& address, int port) {
  sockaddr_in v4 = {};
  sockaddr_in6 v6 = {};
  const bool is_v4 = inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1;
  inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr);
  v4.sin_family = AF_INET;
  v6.sin6_family = AF_INET6;
  v4.sin_port = v6.sin6_port = htons(static_cast<uint16_t>(port));
  UniqueFd fd(socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int connected = is_v4 ? connect(fd.get(), reinterpret_cast<sockaddr*>(&v4), sizeof(v4))
                              : connect(fd.get(), reinterpret_cast<sockaddr*>(&v6), sizeof(v6));
  return connected == 0 ? std::move(fd) : UniqueFd();
}

std::string ReadAll(const UniqueFd& fd) {
  std::string all;
  char buffer[4096];
  for (ssize_t n; (n = recv(fd.get(), buffer, sizeof(buffer), 0)) > 0;)
    all.append(buffer, static_cast<size_t>(n));
  return all;
}

TEST_F(CliTest, PortForwardCarriesManyOverBothFamilies) {
  cri::ContainerConfig config = MakeProbe("c", {"serve", "8080"});
  const std::string id = Run(config);
  ASSERT_OK_AND_ASSIGN(Child child,
                       Child::Start(BerthArgv(socket(), {"port-forward", pod().id(), ":8080"})));
  std::string rest;
  ASSERT_OK_AND_ASSIGN(const std::string line,
                       ReadUntil(child.pipes().out.get(), " to port 8080\n", &rest));
  int port = 0;
  ASSERT_EQ(sscanf(line.c_str(), "forwarding 127.0.0.1:%d", &port), 1) << line;
  std::vector<UniqueFd> sockets;
  for (int i = 0; i < 50; ++i) sockets.push_back(ConnectTo(i % 2 == 0 ? "127.0.0.1" : "::1", port));
  std::set<std::string> answers;
  for (const UniqueFd& fd : sockets) {
    ASSERT_TRUE(fd.valid());
    answers.insert(ReadAll(fd));
  }
  EXPECT_EQ(answers.size(), 1u);
  EXPECT_FALSE(answers.begin()->empty());
  ::kill(child.pid(), SIGINT);
  EXPECT_EQ(child.Wait(absl::Seconds(30)), 0);
}

TEST_F(CliTest, PortForwardTellsOfAClosedPortAndGoesOn) {
  const std::string id = Run(MakeProbe("c", {"serve", "8080"}));
  ASSERT_OK_AND_ASSIGN(
      Child child,
      Child::Start(BerthArgv(socket(), {"port-forward", pod().id(), ":8081", "127.0.0.1::8080"})));
  std::string rest;
  ASSERT_OK_AND_ASSIGN(const std::string closed,
                       ReadUntil(child.pipes().out.get(), " to port 8081\n", &rest));
  ASSERT_OK_AND_ASSIGN(const std::string open,
                       ReadUntil(child.pipes().out.get(), " to port 8080\n", &rest));
  int closed_port = 0, open_port = 0;
  ASSERT_EQ(sscanf(closed.c_str(), "forwarding 127.0.0.1:%d", &closed_port), 1);
  const size_t at = open.rfind("forwarding 127.0.0.1:");
  ASSERT_EQ(sscanf(open.c_str() + at, "forwarding 127.0.0.1:%d", &open_port), 1);
  EXPECT_EQ(ReadAll(ConnectTo("127.0.0.1", closed_port)), "");
  std::string said;
  EXPECT_OK(ReadUntil(child.pipes().err.get(), "8081", &said));
  EXPECT_FALSE(ReadAll(ConnectTo("127.0.0.1", open_port)).empty());
  ::kill(child.pid(), SIGTERM);
  EXPECT_EQ(child.Wait(absl::Seconds(30)), 0);
}

// --- logs

TEST_F(CliTest, LogsFollowAcrossRotationsWithoutALineLostOrDoubled) {
  ASSERT_OK_AND_ASSIGN(Pod own, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, own.RunContainer(MakeKubeletProbe("c", {"tick"})));
  ASSERT_OK_AND_ASSIGN(Child child, Child::Start(BerthArgv(socket(), {"logs", "-f", id})));
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
  std::string rest;
  ASSERT_OK(ReadUntil(child.pipes().out.get(), "ready\n", &rest));
  for (int i = 1; i <= 60; ++i) {
    ASSERT_OK(client().Exec(id, {"/probe", "kill", "1", std::to_string(SIGUSR1)}));
    const std::string tick = absl::StrCat("tick ", i, "\n");
    ASSERT_OK_AND_ASSIGN(const std::string shown, ReadUntil(child.pipes().out.get(), tick, &rest));
    EXPECT_EQ(shown, tick);
    if (i % 3 != 0) continue;
    const std::string rotated = absl::StrCat(status.log_path(), ".", i);
    ASSERT_EQ(rename(status.log_path().c_str(), rotated.c_str()), 0);
    ASSERT_OK(client().ReopenLog(id));
  }
  ASSERT_OK(client().Stop(id, 0));
  EXPECT_FALSE(ReadUntil(child.pipes().out.get(), "tick", &rest).ok());
  EXPECT_EQ(child.Wait(absl::Seconds(30)), 0);
}

TEST_F(CliTest, LogsOfAPodNameTheirContainers) {
  ASSERT_OK(pod().RunToEnd(MakeProbe("a", {"lines", "1"})));
  ASSERT_OK(pod().RunToEnd(MakeProbe("b", {"lines", "1"})));
  const CommandResult result = Berth({"logs", pod().id()});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("a | stdout line 0\n"));
  EXPECT_THAT(result.out, HasSubstr("b | stdout line 0\n"));
  EXPECT_THAT(result.err, HasSubstr("b | stderr line 0\n"));
}

TEST_F(CliTest, LogsOfThePreviousContainer) {
  cri::ContainerConfig first = MakeProbe("c", {"emit", "1", "text:first", "nl"});
  cri::ContainerConfig second = MakeProbe("c", {"emit", "1", "text:second", "nl"});
  second.mutable_metadata()->set_attempt(1);
  second.set_log_path("c/1.log");
  ASSERT_OK_AND_ASSIGN(const auto before, pod().RunToEnd(first));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(second));
  ASSERT_OK(client().WaitExit(id));
  EXPECT_EQ(Berth({"logs", id}).out, "second\n");
  EXPECT_EQ(Berth({"logs", "-p", id}).out, "first\n");
  ASSERT_OK(client().Remove(before.id));
  EXPECT_EQ(Berth({"logs", "-p", id}).out, "first\n");  // the kubelet's name for it
}

}  // namespace
}  // namespace berth::e2e
