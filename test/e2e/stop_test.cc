// StopContainer: which signal, when the kill, and what concurrent calls get.

#include <thread>

#include "test/e2e/with_pod.h"

namespace berth::e2e {
namespace {

class StopTest : public WithPod<E2eTest> {
 protected:
  cri::PodSandboxConfig PodConfig() override { return MakePodConfig(Name()); }
  // Started, and its process has installed its handlers.
  std::string Ready(const cri::ContainerConfig& config) {
    const auto id = pod().RunContainer(config);
    EXPECT_OK(id);
    EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return Stdout() == "ready\n"; }));
    return id.ok() ? *id : "";
  }
  std::string Stdout() {
    const auto log = ReadLog(pod().LogPath("c"));
    return log.ok() ? Joined(*log, "stdout") : "";
  }
  cri::ContainerStatus StatusAfter(const std::string& id) {
    const auto status = client().ContainerStatus(id);
    EXPECT_OK(status);
    EXPECT_EQ(status->state(), cri::CONTAINER_EXITED);
    return *status;
  }
};

TEST_F(StopTest, SendsTermAndReturnsWithTheExitRecorded) {
  const std::string id = Ready(MakeProbe("c", {"term-exit", "9"}));
  ASSERT_OK(client().Stop(id, 60));
  const auto status = StatusAfter(id);
  EXPECT_EQ(status.exit_code(), 9);
  EXPECT_EQ(Stdout(), "ready\nsignal 15\n");
}

TEST_F(StopTest, KillsAtTheDeadline) {
  const std::string id = Ready(MakeProbe("c", {"ignore-term"}));
  ASSERT_OK(client().Stop(id, 1));
  const auto status = StatusAfter(id);
  EXPECT_EQ(status.exit_code(), 137);
  EXPECT_EQ(status.reason(), "Error");
}

TEST_F(StopTest, ZeroKillsAtOnceWithoutTheSignal) {
  const std::string id = Ready(MakeProbe("c", {"term-exit", "0"}));
  ASSERT_OK(client().Stop(id, 0));
  EXPECT_EQ(StatusAfter(id).exit_code(), 137);
  EXPECT_EQ(Stdout(), "ready\n");
}

TEST_F(StopTest, NegativeCountsAsZero) {
  const std::string id = Ready(MakeProbe("c", {"ignore-term"}));
  ASSERT_OK(client().Stop(id, -5));
  EXPECT_EQ(StatusAfter(id).exit_code(), 137);
}

TEST_F(StopTest, ShorterRepeatShortensTheFirst) {
  const std::string id = Ready(MakeProbe("c", {"ignore-term"}));
  absl::Status patient = absl::UnknownError("not run");
  std::thread caller([&] { patient = client().Stop(id, 100000); });
  EXPECT_OK(client().Stop(id, 1));
  EXPECT_EQ(StatusAfter(id).exit_code(), 137);
  caller.join();
  EXPECT_OK(patient);
}

TEST_F(StopTest, CallerThatLeavesDoesNotEndTheStop) {
  const std::string id = Ready(MakeProbe("c", {"ignore-term"}));
  EXPECT_CODE(client().Stop(id, 2, absl::Milliseconds(200)), kDeadlineExceeded);
  ASSERT_OK_AND_ASSIGN(const auto status, client().WaitExit(id));
  EXPECT_EQ(status.exit_code(), 137);
}

TEST_F(StopTest, SignalOfTheRequestWins) {
  cri::ContainerConfig config = MakeProbe("c", {"term-exit", "0"});
  config.set_stop_signal(cri::SIGNAL_SIGUSR1);
  const std::string id = Ready(config);
  ASSERT_OK(client().Stop(id, 60));
  EXPECT_EQ(Stdout(), "ready\nsignal 10\n");
}

TEST_F(StopTest, SignalOfTheImageIsUsed) {
  ImageRecipe recipe = ProbeRecipe();
  recipe.config["StopSignal"] = "SIGQUIT";
  const std::string image = node().registry().Add("quits", "v1", Build(recipe));
  ASSERT_OK(client().Pull(image));
  cri::ContainerConfig config = MakeProbe("c", {"term-exit", "0"});
  config.mutable_image()->set_image(image);
  const std::string id = Ready(config);
  EXPECT_OK(client().Stop(id, 60));
  EXPECT_EQ(Stdout(), "ready\nsignal 3\n");
  EXPECT_OK(client().Remove(id));
  EXPECT_OK(client().RemoveImage(image));
}

TEST_F(StopTest, IsFineForEveryStateAndConcurrently) {
  ASSERT_OK_AND_ASSIGN(const std::string created, pod().Create(MakeProbe("d", {"sleep"})));
  EXPECT_OK(client().Stop(created, 10));
  const std::string id = Ready(MakeProbe("c", {"sleep"}));
  std::vector<absl::Status> results(4);
  std::vector<std::thread> threads;
  for (absl::Status& result : results)
    threads.emplace_back([&] { result = client().Stop(id, 60); });
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) EXPECT_OK(result);
  EXPECT_OK(client().Stop(id, 10));
}

TEST_F(StopTest, TakesTheWholeContainerInASharedPidNamespace) {
  cri::ContainerConfig config = MakeProbe("d", {"spawn-orphans", "3", "stay"});
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().RunContainer(config));
  uint32_t looks = 0;
  const auto orphans = [&] {
    cri::ContainerConfig look = MakeProbe("look", {"report"});
    look.mutable_metadata()->set_attempt(looks);
    look.set_log_path("look/" + std::to_string(looks++) + ".log");
    const auto report = pod().RunForJson(look);
    EXPECT_OK(report);
    int count = 0;
    for (const auto& [pid, command] : (*report)["processes"].items()) {
      count += command.is_string() &&
               command.get<std::string>().find("spawn-orphans") != std::string::npos;
    }
    return count;
  };
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return orphans() == 4; }));
  ASSERT_OK(client().Stop(id, 0));
  EXPECT_EQ(orphans(), 0);
}

}  // namespace
}  // namespace berth::e2e
