// Exec, Attach and PortForward: what is refused, tokens, and sessions through berth-stream.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "test/e2e/channel_client.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/own_node.h"

namespace berth::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int kStdin = 0, kStdout = 1, kStderr = 2;

class SessionTest : public E2eTest {
 protected:
  void SetUp() override {
    E2eTest::SetUp();
    if (HasFatalFailure()) return;
    if (access(BERTH_BIN_DIR "/berth-stream", X_OK) != 0)
      GTEST_SKIP() << "needs berth-stream, which is not built";
  }

  cri::ExecRequest ExecRequest(const std::string& id, const std::vector<std::string>& arguments) {
    cri::ExecRequest request;
    request.set_container_id(id);
    request.add_cmd("/probe");
    for (const std::string& argument : arguments) request.add_cmd(argument);
    request.set_stdin(true);
    request.set_stdout(true);
    request.set_stderr(true);
    return request;
  }
  absl::StatusOr<std::string> Url(const cri::ExecRequest& request) {
    const auto response = client().Call(&Runtime::Exec, request);
    if (!response.ok()) return response.status();
    return response->url();
  }
  absl::StatusOr<std::string> Url(const cri::AttachRequest& request) {
    const auto response = client().Call(&Runtime::Attach, request);
    if (!response.ok()) return response.status();
    return response->url();
  }
  absl::StatusOr<std::string> Url(const cri::PortForwardRequest& request) {
    const auto response = client().Call(&Runtime::PortForward, request);
    if (!response.ok()) return response.status();
    return response->url();
  }
  template <class Request>
  absl::StatusOr<ChannelClient> Open(const Request& request,
                                     const std::string& protocol = "v5.channel.k8s.io") {
    const absl::StatusOr<std::string> url = Url(request);
    if (!url.ok()) return url.status();
    return ChannelClient::Connect(*url, protocol);
  }
  cri::AttachRequest AttachRequest(const std::string& id, bool with_stdin) {
    cri::AttachRequest request;
    request.set_container_id(id);
    request.set_stdin(with_stdin);
    request.set_stdout(true);
    request.set_stderr(true);
    return request;
  }
  absl::StatusOr<Pod> RunPod() { return Pod::Run(client(), MakePodConfig(Name())); }
};

TEST_F(SessionTest, WhatCannotBeIsRefusedBeforeThereIsAUrl) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  cri::ExecRequest exec = ExecRequest(id, {"exit", "0"});
  exec.set_tty(true);
  EXPECT_CODE(Url(exec), kInvalidArgument);
  exec = ExecRequest(id, {});
  exec.clear_cmd();
  EXPECT_CODE(Url(exec), kInvalidArgument);
  exec = ExecRequest("", {"exit", "0"});
  EXPECT_CODE(Url(exec), kInvalidArgument);
  EXPECT_CODE(Url(ExecRequest("no-such-container", {"exit", "0"})), kNotFound);
  cri::AttachRequest attach = AttachRequest(id, false);
  attach.set_stderr(false);
  attach.set_tty(true);
  EXPECT_CODE(Url(attach), kInvalidArgument) << "the container has no terminal";
  attach.set_stdout(false);
  EXPECT_CODE(Url(attach), kInvalidArgument);
  cri::PortForwardRequest forward;
  EXPECT_CODE(Url(forward), kInvalidArgument);
  forward.set_pod_sandbox_id("no-such-pod");
  EXPECT_CODE(Url(forward), kNotFound);
  forward.set_pod_sandbox_id(pod.id());
  forward.add_port(70000);
  EXPECT_CODE(Url(forward), kInvalidArgument);

  ASSERT_OK(client().Stop(id, 0));
  EXPECT_CODE(Url(ExecRequest(id, {"exit", "0"})), kFailedPrecondition);
  EXPECT_CODE(Url(AttachRequest(id, false)), kFailedPrecondition);
  ASSERT_OK(client().StopPod(pod.id()));
  forward.clear_port();
  EXPECT_CODE(Url(forward), kFailedPrecondition);
}

TEST_F(SessionTest, ATokenIsGoodOnceAndForItsKindOnly) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const std::string url, Url(ExecRequest(id, {"exit", "0"})));
  EXPECT_THAT(url, StartsWith("http://127.0.0.1:"));
  ASSERT_OK(ChannelClient::Connect(url));
  EXPECT_THAT(std::string(ChannelClient::Connect(url).status().message()), StartsWith("404"));
  ASSERT_OK_AND_ASSIGN(const std::string other, Url(ExecRequest(id, {"exit", "0"})));
  const std::string wrong = absl::StrReplaceAll(other, {{"/exec/", "/attach/"}});
  EXPECT_THAT(std::string(ChannelClient::Connect(wrong).status().message()), StartsWith("404"));
  EXPECT_THAT(std::string(ChannelClient::Connect(other).status().message()), StartsWith("404"));
}

TEST_F(SessionTest, UnusedTokensAreBoundedInNumber) {
  ASSERT_OK_AND_ASSIGN(OwnNode own, OwnNode::Start(Name(), ""));
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(own.client(), MakePodConfig(Name())));
  cri::PortForwardRequest request;
  request.set_pod_sandbox_id(pod.id());
  absl::Status status;
  for (int i = 0; i < 1500 && status.ok(); ++i)
    status = own.client().Call(&Runtime::PortForward, request).status();
  EXPECT_CODE(status, kResourceExhausted);
}

TEST_F(SessionTest, ExecCarriesStreamsApartAndTheExitCode) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(ChannelClient echo, Open(ExecRequest(id, {"stdin"})));
  ASSERT_OK(echo.Send(kStdin, "there and back\n"));
  ASSERT_OK(echo.CloseChannel(kStdin));
  ASSERT_OK(echo.AwaitEnd());
  EXPECT_EQ(echo.Of(kStdout), "there and back\nend\n");
  EXPECT_EQ(echo.ExitCode(), 0);
  ASSERT_OK_AND_ASSIGN(ChannelClient apart, Open(ExecRequest(id, {"lines", "1"})));
  ASSERT_OK(apart.AwaitEnd());
  EXPECT_EQ(apart.Of(kStdout), "stdout line 0\n");
  EXPECT_EQ(apart.Of(kStderr), "stderr line 0\n");
  ASSERT_OK_AND_ASSIGN(ChannelClient seven, Open(ExecRequest(id, {"exit", "7"})));
  ASSERT_OK(seven.AwaitEnd());
  EXPECT_EQ(seven.ExitCode(), 7);
}

TEST_F(SessionTest, ExecHasATerminal) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  cri::ExecRequest request = ExecRequest(id, {"report"});
  request.set_tty(true);
  request.set_stderr(false);
  ASSERT_OK_AND_ASSIGN(ChannelClient client, Open(request));
  ASSERT_OK(client.AwaitEnd());
  const Json report = Json::parse(client.Of(kStdout), nullptr, false);
  ASSERT_TRUE(report.is_object()) << client.Of(kStdout);
  EXPECT_EQ(report["fds"]["0"], "/dev/pts/0");
  EXPECT_EQ(report["fds"]["2"], "/dev/pts/0");
}

TEST_F(SessionTest, ExecThatIsNotThereIsToldToTheClient) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  cri::ExecRequest request = ExecRequest(id, {});
  request.set_cmd(0, "/no/such/program");
  ASSERT_OK_AND_ASSIGN(ChannelClient client, Open(request));
  ASSERT_OK(client.AwaitEnd());
  EXPECT_EQ(client.Of(kStderr), "exec: \"/no/such/program\": No such file or directory\n");
  EXPECT_THAT(client.Of(3), HasSubstr("/no/such/program"));
  EXPECT_EQ(client.ExitCode(), 127);
  request.set_cmd(0, "/etc");
  ASSERT_OK_AND_ASSIGN(ChannelClient directory, Open(request));
  ASSERT_OK(directory.AwaitEnd());
  EXPECT_EQ(directory.ExitCode(), 126);
}

// Numbers go into the session and come back, while the daemon is killed and started again and
// again.
TEST_F(SessionTest, I_22_SurvivesTheDaemonWithoutALostByte) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(ChannelClient client, Open(ExecRequest(id, {"stdin"})));
  std::string sent = "begun\n";
  ASSERT_OK(client.Send(kStdin, sent));
  ASSERT_OK(client.Await(kStdout, sent));
  int number = 0;
  for (int kills = 0; kills < 4; ++kills) {
    std::thread restarter([this] {
      EXPECT_OK(node().daemon().Kill());
      EXPECT_OK(node().daemon().StartAgain());
    });
    const auto join = absl::MakeCleanup([&] { restarter.join(); });
    const absl::Time until = absl::Now() + absl::Seconds(2);
    while (absl::Now() < until) {
      const std::string line = absl::StrCat(number++, "\n");
      sent += line;
      ASSERT_OK(client.Send(kStdin, line));
      ASSERT_OK(client.Await(kStdout, line));
    }
  }
  node().Reconnect();
  ASSERT_OK(client.CloseChannel(kStdin));
  ASSERT_OK(client.AwaitEnd());
  EXPECT_EQ(client.Of(kStdout), sent + "end\n");
  EXPECT_EQ(client.ExitCode(), 0);
  EXPECT_GT(number, 100);
}

TEST_F(SessionTest, AttachedSeeTheSameAndLeaveTheContainerRunning) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  cri::ContainerConfig config = MakeProbe("c", {"stdin"});
  config.set_stdin(true);
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  ASSERT_OK_AND_ASSIGN(ChannelClient first, Open(AttachRequest(id, true)));
  ASSERT_OK_AND_ASSIGN(ChannelClient second, Open(AttachRequest(id, true)));
  // That the second one is attached is known from what it sees.
  ASSERT_OK(second.Send(kStdin, "two"));
  ASSERT_OK(second.Await(kStdout, "two"));
  ASSERT_OK(first.Send(kStdin, "one"));
  ASSERT_OK(first.Await(kStdout, "one"));
  ASSERT_OK(second.Await(kStdout, "one"));
  first.Abort();
  ASSERT_OK(second.Send(kStdin, "three"));
  ASSERT_OK(second.Await(kStdout, "three"));
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
  EXPECT_EQ(status.state(), cri::CONTAINER_RUNNING);
  ASSERT_OK(client().Stop(id, 0));
  ASSERT_OK(second.AwaitEnd());
  ASSERT_OK_AND_ASSIGN(const auto log, ReadLog(pod.LogPath("c")));
  EXPECT_EQ(Joined(log, "stdout"), "twoonethree");
}

TEST_F(SessionTest, StdinOnceEndsWithTheFirst) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  cri::ContainerConfig config = MakeProbe("c", {"stdin"});
  config.set_stdin(true);
  config.set_stdin_once(true);
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  ASSERT_OK_AND_ASSIGN(ChannelClient client, Open(AttachRequest(id, true)));
  ASSERT_OK(client.Send(kStdin, "all\n"));
  ASSERT_OK(client.CloseChannel(kStdin));
  ASSERT_OK(client.AwaitEnd());
  EXPECT_EQ(client.Of(kStdout), "all\nend\n");
  ASSERT_OK_AND_ASSIGN(const auto status, this->client().WaitExit(id));
  EXPECT_EQ(status.exit_code(), 0);
}

TEST_F(SessionTest, AttachedBeforeTheStartMissNothing) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.Create(MakeProbe("c", {"lines", "1"})));
  ASSERT_OK_AND_ASSIGN(const std::string url, Url(AttachRequest(id, false)));
  ASSERT_OK_AND_ASSIGN(ChannelClient client, ChannelClient::Connect(url));
  ASSERT_TRUE(Eventually(absl::Seconds(30), [&] {
    return absl::StrContains(node().daemon().Log(), absl::StrCat("kind=attach id=", id));
  })) << "the session does not begin";
  ASSERT_OK(this->client().Start(id));
  ASSERT_OK(client.AwaitEnd());
  EXPECT_EQ(client.Of(kStdout), "stdout line 0\n");
  EXPECT_EQ(client.Of(kStderr), "stderr line 0\n");
}

TEST_F(SessionTest, PortsAreThoseOfThePod) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_OK(pod.RunContainer(MakeKubeletProbe("c", {"serve", "8080"})));
  ASSERT_TRUE(Eventually(absl::Seconds(30), [&] {
    const auto log = ReadLog(pod.LogPath("c"));
    return log.ok() && Joined(*log, "stdout") == "ready\n";
  }));
  cri::PortForwardRequest request;
  request.set_pod_sandbox_id(pod.id());
  request.add_port(8080);
  request.add_port(8081);
  ASSERT_OK_AND_ASSIGN(ChannelClient client, Open(request, "v4.channel.k8s.io"));
  ASSERT_OK_AND_ASSIGN(const std::string answer, client.Await(0, Name()));
  EXPECT_EQ(answer, std::string("\x90\x1f", 2) + Name() + "\n");
  EXPECT_OK(client.Await(3, "refused"));
}

TEST_F(SessionTest, I_23_AbortedSessionsLeaveNothing) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  cri::ContainerConfig config = MakeProbe("c", {"stdin"});
  config.set_stdin(true);
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  for (int round = 0; round < 20; ++round) {
    cri::ExecRequest request = ExecRequest(id, {"stdin"});
    if (round % 2 == 0) {
      request.set_tty(true);
      request.set_stderr(false);
    }
    ASSERT_OK_AND_ASSIGN(ChannelClient exec, Open(request));
    ASSERT_OK_AND_ASSIGN(ChannelClient attach, Open(AttachRequest(id, round % 3 == 0)));
    if (round % 4 < 2) {
      ASSERT_OK(exec.Send(kStdin, "x\n"));
      ASSERT_OK(exec.Await(kStdout, "x"));
    }
    exec.Abort();
    attach.Abort();
  }
  // Of what runs with this command the container's first process is left.
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] {
    const auto report = pod.ExecForJson(id, {"report"});
    if (!report.ok()) return false;
    int left = 0;
    for (const auto& [pid, command] : (*report)["processes"].items())
      left += command.is_string() && absl::StrContains(command.get<std::string>(), "stdin");
    return left == 1;
  })) << "an exec outlives its client";
}

}  // namespace
}  // namespace berth::e2e
