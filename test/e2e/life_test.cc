// What a container lives through: signals, standard input, terminal, limits, environment bytes,
// and what its status tells at each end.
#include <gmock/gmock.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "test/e2e/own_node.h"
#include "test/e2e/probed.h"
#include "test/e2e/with_pod.h"

namespace berth::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LifeTest : public WithPod<ProbedTest> {
 protected:
  std::string Stdout() {
    const auto log = ReadLog(pod().LogPath("c"));
    return log.ok() ? Joined(*log, "stdout") : "";
  }
  bool Prints(const std::string& text) {
    return Eventually(absl::Seconds(30), [&] { return Stdout() == text; });
  }
};

struct StopSignal {
  cri::Signal asked;
  int number;
};

class StopSignalTest : public LifeTest, public testing::WithParamInterface<StopSignal> {};

TEST_P(StopSignalTest, IsSentAndTold) {
  cri::ContainerConfig config = MakeKubeletProbe("c", {"signals", "1"});
  config.set_stop_signal(GetParam().asked);
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(config));
  ASSERT_TRUE(Prints("ready\n"));
  ASSERT_OK_AND_ASSIGN(auto status, client().ContainerStatus(id));
  EXPECT_EQ(status.stop_signal(), GetParam().asked == cri::SIGNAL_RUNTIME_DEFAULT
                                      ? cri::SIGNAL_SIGTERM
                                      : GetParam().asked);
  ASSERT_OK(client().Stop(id, 60));
  EXPECT_EQ(Stdout(), absl::StrCat("ready\nsignal ", GetParam().number, "\n"));
  ASSERT_OK_AND_ASSIGN(status, client().ContainerStatus(id));
  EXPECT_EQ(status.exit_code(), 0);
}

INSTANTIATE_TEST_SUITE_P(
    Signals, StopSignalTest,
    testing::Values(StopSignal{cri::SIGNAL_RUNTIME_DEFAULT, 15},
                    StopSignal{cri::SIGNAL_SIGTERM, 15}, StopSignal{cri::SIGNAL_SIGINT, 2},
                    StopSignal{cri::SIGNAL_SIGHUP, 1}, StopSignal{cri::SIGNAL_SIGUSR2, 12},
                    StopSignal{cri::SIGNAL_SIGWINCH, 28},
                    StopSignal{cri::SIGNAL_SIGRTMINPLUS3, 37}),
    [](const auto& info) { return cri::Signal_Name(info.param.asked).substr(strlen("SIGNAL_")); });

// ---- standard input ----

TEST_F(LifeTest, StdinBlocksWhileNobodyIsAttached) {
  cri::ContainerConfig config = MakeKubeletProbe("c", {"report"});
  config.set_stdin(true);
  ASSERT_OK_AND_ASSIGN(const Json report, pod().RunForJson(config));
  EXPECT_EQ(report["stdio"][0]["type"], "fifo");
  EXPECT_EQ(report["stdio"][0]["reading"], "blocks");
}

TEST_F(LifeTest, ReaderOfOpenStdinRunsUntilItIsStopped) {
  cri::ContainerConfig config = MakeKubeletProbe("c", {"stdin"});
  config.set_stdin(true);
  NamespaceOptions(config)->set_pid(cri::CONTAINER);
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(config));
  ASSERT_OK_AND_ASSIGN(const Json report, pod().ExecForJson(id, {"report"}));
  EXPECT_EQ(report["processes"].size(), 2u);
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
  EXPECT_EQ(status.state(), cri::CONTAINER_RUNNING);
  EXPECT_EQ(Stdout(), "");
}

TEST_F(LifeTest, StdinOnceIsOpenToo) {
  cri::ContainerConfig config = MakeKubeletProbe("c", {"report"});
  config.set_stdin(true);
  config.set_stdin_once(true);
  ASSERT_OK_AND_ASSIGN(const Json report, pod().RunForJson(config));
  EXPECT_EQ(report["stdio"][0]["reading"], "blocks");
}

TEST_F(LifeTest, WithoutStdinItsEndIsThereAtOnce) {
  ASSERT_OK_AND_ASSIGN(const FinishedContainer finished,
                       pod().RunToEnd(MakeKubeletProbe("c", {"stdin"})));
  EXPECT_EQ(Joined(finished.log, "stdout"), "end\n");
}

TEST_F(LifeTest, OpenStdinOutlivesARestartOfTheDaemon) {
  cri::ContainerConfig config = MakeKubeletProbe("c", {"stdin"});
  config.set_stdin(true);
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(config));
  ASSERT_OK(node().daemon().Kill());
  ASSERT_OK(node().daemon().StartAgain());
  node().Reconnect();
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
  EXPECT_EQ(status.state(), cri::CONTAINER_RUNNING);
  EXPECT_EQ(Stdout(), "");
}

// ---- terminal ----

TEST_F(LifeTest, TerminalIsTheControllingOneInTheForeground) {
  cri::ContainerConfig config = MakeKubeletProbe("c", {"report"});
  config.set_tty(true);
  config.set_stdin(true);
  ASSERT_OK_AND_ASSIGN(const Json report, pod().RunForJson(config));
  EXPECT_EQ(report["controlling_tty"], "ok");
  EXPECT_EQ(report["foreground"], true);
  EXPECT_EQ(report["sid"], report["pid"]);
  EXPECT_EQ(report["dev"]["/dev/console"]["type"], "char");
  for (const int fd : {0, 1, 2}) EXPECT_EQ(report["stdio"][fd]["tty"], true) << fd;
}

TEST_F(LifeTest, WithoutTerminalThereIsNone) {
  ASSERT_OK_AND_ASSIGN(const Json report, pod().RunForJson(MakeKubeletProbe("c", {"report"})));
  EXPECT_EQ(report["controlling_tty"], "ENXIO");
}

TEST_F(LifeTest, TerminalBelongsToTheUser) {
  cri::ContainerConfig config = MakeKubeletProbe("c", {"report"});
  config.set_tty(true);
  Security(config)->mutable_run_as_user()->set_value(1000);
  ASSERT_OK_AND_ASSIGN(const Json report, pod().RunForJson(config));
  EXPECT_EQ(report["dev"]["/dev/console"]["uid"], 1000);
}

// ---- environment, labels ----

TEST_F(LifeTest, EnvironmentIsBytes) {
  cri::ContainerConfig config = MakeKubeletProbe("c", {"report"});
  std::string bytes;
  for (int byte = 1; byte < 256; ++byte) bytes += static_cast<char>(byte);
  auto* env = config.add_envs();
  env->set_key("EVERY_BYTE");
  env->set_value(bytes);
  ASSERT_OK_AND_ASSIGN(const Json report, pod().RunForJson(config));
  // The probe writes each byte as the code point of that number.
  std::string expected;
  for (int byte = 1; byte < 256; ++byte) {
    if (byte < 0x80) expected += static_cast<char>(byte);
    if (byte >= 0x80)
      expected += {static_cast<char>(0xc0 | byte >> 6), static_cast<char>(0x80 | (byte & 0x3f))};
  }
  EXPECT_EQ(Environment(report)["EVERY_BYTE"], expected);
}

TEST_F(LifeTest, BadVariablesAreRefused) {
  struct {
    std::string key, value;
  } cases[] = {
      {"A", std::string("x\0y", 3)}, {"", "x"}, {"A=B", "x"}, {std::string("A\0", 2), "x"}};
  for (const auto& c : cases) {
    cri::ContainerConfig config = MakeKubeletProbe("c", {"report"});
    auto* env = config.add_envs();
    env->set_key(c.key);
    env->set_value(c.value);
    EXPECT_CODE(pod().Create(config), kInvalidArgument) << c.key;
  }
}

TEST_F(LifeTest, LabelsAndAnnotationsAreEchoedToTheByte) {
  cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  auto& labels = *config.mutable_labels();
  auto& annotations = *config.mutable_annotations();
  labels["empty"] = "";
  labels["unicode.example/k\xc3\xa4se"] = "\xf0\x9f\xa7\x80";
  annotations["json"] = "{\"a\": [1, 2],\n\t\"b\": \"\\\"\"}";
  annotations["long"] = std::string(100000, 'x');
  annotations["io.kubernetes.container.terminationMessagePath"] = "/dev/termination-log";
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(config));
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
  const auto as_map = [](const auto& map) {
    return std::map<std::string, std::string>(map.begin(), map.end());
  };
  EXPECT_EQ(as_map(status.labels()), as_map(config.labels()));
  EXPECT_EQ(as_map(status.annotations()), as_map(config.annotations()));
}

// ---- ends ----

TEST_F(LifeTest, StatusOfEveryEndIsComplete) {
  struct {
    std::vector<std::string> arguments;
    int exit_code;
    std::string reason;
    int64_t memory;
  } cases[] = {{{"exit", "0"}, 0, "Completed", 0},
               {{"exit", "7"}, 7, "Error", 0},
               {{"eat-memory", "200000000"}, 137, "OOMKilled", 20 << 20}};
  uint32_t attempt = 0;
  for (const auto& c : cases) {
    cri::ContainerConfig config = MakeKubeletProbe("c", c.arguments);
    config.mutable_metadata()->set_attempt(attempt);
    config.set_log_path(absl::StrCat("c/", attempt++, ".log"));
    if (c.memory != 0) {
      config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(c.memory);
      config.mutable_linux()->mutable_resources()->set_memory_swap_limit_in_bytes(c.memory);
    }
    ASSERT_OK_AND_ASSIGN(const FinishedContainer finished, pod().RunToEnd(config));
    EXPECT_EQ(finished.status.exit_code(), c.exit_code);
    EXPECT_EQ(finished.status.reason(), c.reason);
    EXPECT_GT(finished.status.started_at(), 0);
    EXPECT_GE(finished.status.finished_at(), finished.status.started_at());
    EXPECT_EQ(finished.status.user().linux().uid(), 0);
    EXPECT_EQ(finished.status.resources().linux().cpu_quota(), 50000) << "kept after the end";
    EXPECT_EQ(finished.status.stop_signal(), cri::SIGNAL_SIGTERM);
  }
}

TEST_F(LifeTest, StartErrorIsRecordedWithItsCause) {
  cri::ContainerConfig config = MakeKubeletProbe("c", {});
  config.set_command(0, "/no/such/program");
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().Create(config));
  EXPECT_FALSE(client().Start(id).ok());
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
  EXPECT_EQ(status.exit_code(), 128);
  EXPECT_EQ(status.reason(), "StartError");
  EXPECT_THAT(status.message(), HasSubstr("/no/such/program"));
}

TEST_F(LifeTest, VerboseStatusHasPidSpecAndPlan) {
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(MakeKubeletProbe("c", {"sleep"})));
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  request.set_verbose(true);
  ASSERT_OK_AND_ASSIGN(const auto verbose, client().Call(&Runtime::ContainerStatus, request));
  ASSERT_TRUE(verbose.info().contains("info"));
  const Json info = Json::parse(verbose.info().at("info"), nullptr, false);
  EXPECT_GT(info.value("pid", 0), 0);
  ASSERT_TRUE(info.contains("runtimeSpec"));
  const Json& spec = info["runtimeSpec"];
  EXPECT_EQ(spec["process"]["args"], Json::array({"/probe", "sleep"}));
  EXPECT_EQ(spec["process"]["user"]["uid"], 0);
  EXPECT_EQ(spec["linux"]["resources"]["cpu"]["quota"], 50000);
}

// ---- configuration ----

TEST_F(LifeTest, RlimitsOfTheConfigurationHold) {
  ASSERT_OK_AND_ASSIGN(OwnNode own, OwnNode::Start("rlimits", R"([container]
rlimits = "nofile=1234:5678,core=0:0"
)"));
  ASSERT_OK_AND_ASSIGN(Pod limited, Pod::Run(own.client(), MakePodConfig(Name("-own"))));
  ASSERT_OK_AND_ASSIGN(const std::string id, limited.RunContainer(MakeProbe("c", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const Json exec, limited.ExecForJson(id, {"report"}));
  cri::ContainerConfig first = MakeProbe("d", {"report"});
  ASSERT_OK_AND_ASSIGN(const Json report, limited.RunForJson(first));
  for (const Json& seen : {exec, report}) {
    EXPECT_EQ(LimitOf(seen, "Max open files"),
              std::make_pair(std::string("1234"), std::string("5678")));
    EXPECT_EQ(LimitOf(seen, "Max core file size"),
              std::make_pair(std::string("0"), std::string("0")));
  }
}

}  // namespace
}  // namespace berth::e2e
