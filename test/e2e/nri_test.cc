// NRI plugins that take part: what they are told of a pod's life, and what becomes of what they
// want.
#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "nri/v1alpha1/nri.pb.h"
#include "src/nri/testing/fake_plugin.h"
#include "test/e2e/own_node.h"
#include "test/e2e/probed.h"
#include "test/e2e/volume.h"

namespace berth::e2e {
namespace {

namespace api = ::nri::pkg::api::v1alpha1;
using nri::FakePlugin;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class NriTest : public ProbedTest {
 protected:
  void SetUp() override {
    ProbedTest::SetUp();
    if (HasFatalFailure()) return;
    dir_.emplace(Name("-nri"));
    Start("");
  }
  void TearDown() override {
    own_.reset();
    dir_.reset();
    ProbedTest::TearDown();
  }
  void Start(const std::string& more) {
    own_.reset();
    auto own =
        OwnNode::Start("nri", absl::StrCat("[nri]\nsocket = \"", Socket(),
                                           "\"\nplugin_dir = \"\"\nconfig_dir = \"\"\n", more));
    ASSERT_OK(own);
    own_.emplace(*std::move(own));
  }
  std::string Socket() const { return *dir_ / "nri.sock"; }
  // Takes part once it has been told what there is: a pod made afterwards is told of.
  std::unique_ptr<FakePlugin> Join(FakePlugin::Answers answers = {},
                                   const std::string& name = "test") {
    auto plugin = FakePlugin::Connect(Socket(), "10", name, std::move(answers));
    if (!plugin.ok()) {
      ADD_FAILURE() << plugin.status();
      return nullptr;
    }
    EXPECT_TRUE((*plugin)->AwaitCall("Synchronize"));
    return *std::move(plugin);
  }
  static FakePlugin::Answers Creating(const api::CreateContainerResponse& response) {
    return {{"CreateContainer",
             [bytes = response.SerializeAsString()](const std::string&) { return bytes; }}};
  }
  absl::StatusOr<Pod> RunPod() {
    return Pod::Run(own_->client(), MakePodConfig(Name(absl::StrCat("-", pods_++))));
  }
  size_t PodCount() {
    const auto pods = own_->client().ListPods();
    EXPECT_OK(pods);
    return pods.ok() ? pods->size() : 0;
  }
  size_t ContainerCount() {
    const auto containers = own_->client().ListContainers();
    EXPECT_OK(containers);
    return containers.ok() ? containers->size() : 0;
  }
  std::optional<HostDir> dir_;
  std::optional<OwnNode> own_;
  int pods_ = 0;
};

void AddEnv(const std::string& key, const std::string& value, api::ContainerAdjustment* to) {
  api::KeyValue& variable = *to->add_env();
  variable.set_key(key);
  variable.set_value(value);
}

// One of each kind of change.
api::CreateContainerResponse EverythingChanged(const HostDir& dir) {
  dir.Write("mounted/file", "text");
  dir.Write("hook.sh", absl::StrCat("#!/bin/sh\ncat >", dir / "hooked", "\n"), 0755);
  api::CreateContainerResponse response;
  api::ContainerAdjustment& adjust = *response.mutable_adjust();
  AddEnv("ADDED", "by plugin", &adjust);
  AddEnv("ASKED", "otherwise", &adjust);
  AddEnv("-GONE", "", &adjust);
  api::Mount& mount = *adjust.add_mounts();
  mount.set_destination("/added");
  mount.set_source(dir / "mounted");
  mount.set_type("bind");
  for (const char* option : {"rbind", "ro"}) mount.add_options(option);
  adjust.mutable_hooks()->add_create_runtime()->set_path(dir / "hook.sh");
  (*adjust.mutable_annotations())["added"] = "yes";
  api::POSIXRlimit& limit = *adjust.add_rlimits();
  limit.set_type("RLIMIT_NOFILE");
  limit.set_soft(123);
  limit.set_hard(456);
  api::LinuxContainerAdjustment& linux = *adjust.mutable_linux();
  api::LinuxDevice& device = *linux.add_devices();
  device.set_path("/dev/added");
  device.set_type("c");
  device.set_major(1);
  device.set_minor(5);  // zero
  device.mutable_file_mode()->set_value(0640);
  linux.mutable_oom_score_adj()->set_value(321);
  linux.mutable_resources()->mutable_pids()->set_limit(77);
  return response;
}

cri::ContainerConfig AskedFor(const std::vector<std::string>& arguments) {
  cri::ContainerConfig config = MakeProbe("c", arguments);
  for (const auto& [key, value] : {std::pair("ASKED", "so"), std::pair("GONE", "there")}) {
    cri::KeyValue& variable = *config.add_envs();
    variable.set_key(key);
    variable.set_value(value);
  }
  return config;
}

void ExpectChanged(const Json& report) {
  auto env = Environment(report);
  EXPECT_EQ(env["ADDED"], "by plugin");
  EXPECT_EQ(env["ASKED"], "otherwise");
  EXPECT_EQ(env.count("GONE"), 0U);
  EXPECT_EQ(LimitOf(report, "Max open files"), std::pair(std::string("123"), std::string("456")));
}

TEST_F(NriTest, WhatAPluginChangesTheContainerHas) {
  const auto plugin = Join(Creating(EverythingChanged(*dir_)));
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  ASSERT_OK_AND_ASSIGN(const Json report, pod.RunForJson(AskedFor({"report"})));
  ExpectChanged(report);
  EXPECT_THAT(MountAt(report, "/added").options, HasSubstr("ro"));
  EXPECT_EQ(report["dev"]["/dev/added"].value("rdev", ""), "1:5");
  EXPECT_EQ(report["oom_score_adj"], "321\n");
  EXPECT_THAT(dir_->Read("hooked"), HasSubstr("\"added\":\"yes\""));
}

// What it wanted is in the container's row: the plugin and the daemon may be gone by the start.
TEST_F(NriTest, WhatAPluginHasChangedOutlivesItAndTheDaemon) {
  auto plugin = Join(Creating(EverythingChanged(*dir_)));
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.Create(AskedFor({"sleep"})));
  plugin.reset();
  ASSERT_OK(own_->daemon().Kill());
  ASSERT_OK(own_->daemon().StartAgain());
  own_->Reconnect();
  ASSERT_OK(own_->client().Start(id));
  EXPECT_EQ(CgroupFile(id, OnV2() ? "" : "pids", "pids.max"), "77");
  ASSERT_OK_AND_ASSIGN(const Json report, pod.ExecForJson(id, {"report"}));
  ExpectChanged(report);
}

TEST_F(NriTest, TheLifeOfAPodIsToldInItsOrder) {
  const auto plugin = Join();
  std::string pod_id, stopped, exited;
  {
    ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
    pod_id = pod.id();
    ASSERT_OK_AND_ASSIGN(stopped, pod.RunContainer(MakeProbe("stopped", {"sleep"})));
    ASSERT_OK(own_->client().Stop(stopped, 0));
    ASSERT_OK_AND_ASSIGN(const FinishedContainer finished,
                         pod.RunToEnd(MakeProbe("exited", {"exit", "3"})));
    exited = finished.id;
    // Nobody has asked for this end, and nobody removes it.
    for (int i = 0; i < 1000 && plugin->Methods(exited).size() < 6; ++i)
      absl::SleepFor(absl::Milliseconds(10));
    EXPECT_THAT(plugin->Methods(exited),
                ElementsAre("CreateContainer", "ValidateContainerAdjustment", "PostCreateContainer",
                            "StartContainer", "PostStartContainer", "StopContainer"));
  }
  EXPECT_THAT(
      plugin->Methods(stopped),
      ElementsAre("CreateContainer", "ValidateContainerAdjustment", "PostCreateContainer",
                  "StartContainer", "PostStartContainer", "StopContainer", "RemoveContainer"));
  EXPECT_THAT(plugin->Methods(pod_id),
              ElementsAre("RunPodSandbox", "StopPodSandbox", "RemovePodSandbox"));
  const auto all = plugin->Methods();
  EXPECT_EQ(all.back(), "RemovePodSandbox");
  api::ContainerRequest started;
  for (const FakePlugin::Call& call : plugin->Calls()) {
    if (call.method != "PostStartContainer") continue;
    ASSERT_TRUE(started.ParseFromString(call.payload));
  }
  EXPECT_GT(started.container().pid(), 0U);
}

TEST_F(NriTest, APodIsNotThereBeforePluginsHaveAgreed) {
  absl::Notification asked, go_on;
  const auto plugin = Join({{"RunPodSandbox", [&](const std::string&) {
                               asked.Notify();
                               go_on.WaitForNotification();
                               return std::string();
                             }}});
  absl::StatusOr<Pod> pod = absl::InternalError("not run");
  std::thread runner([&] { pod = RunPod(); });
  EXPECT_TRUE(asked.WaitForNotificationWithTimeout(absl::Seconds(10)));
  EXPECT_EQ(PodCount(), 0U);
  go_on.Notify();
  runner.join();
  ASSERT_OK(pod);
  EXPECT_EQ(PodCount(), 1U);
}

TEST_F(NriTest, WhatAPluginRefusesIsUndoneAndMayBeTriedAgain) {
  std::atomic<bool> refuse = true;
  const auto refused = [&](const std::string&) -> absl::StatusOr<std::string> {
    if (refuse) return absl::PermissionDeniedError("not today");
    return std::string();
  };
  const auto plugin = Join({{"RunPodSandbox", refused}, {"CreateContainer", refused}});
  const auto none = RunPod();
  EXPECT_THAT(none.status().message(), HasSubstr("NRI plugin 10-test: not today"));
  EXPECT_EQ(PodCount(), 0U);
  refuse = false;
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  refuse = true;
  const auto container = pod.Create(MakeProbe("c", {"sleep"}));
  EXPECT_THAT(container.status().message(), HasSubstr("not today"));
  EXPECT_EQ(ContainerCount(), 0U);
  refuse = false;
  EXPECT_OK(pod.Create(MakeProbe("c", {"sleep"})));
}

TEST_F(NriTest, OneThatComesLateLearnsOfEachContainerInOneWay) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  ASSERT_OK_AND_ASSIGN(const std::string before, pod.RunContainer(MakeProbe("before", {"sleep"})));
  absl::Notification asked, go_on;
  std::string list;
  std::unique_ptr<FakePlugin> plugin = Join({{"Synchronize", [&](const std::string& payload) {
                                                list = payload;
                                                asked.Notify();
                                                go_on.WaitForNotification();
                                                return std::string();
                                              }}});
  EXPECT_TRUE(asked.WaitForNotificationWithTimeout(absl::Seconds(10)));
  absl::StatusOr<std::string> meanwhile = absl::InternalError("not made");
  std::thread maker([&] { meanwhile = pod.Create(MakeProbe("meanwhile", {"sleep"})); });
  absl::SleepFor(absl::Milliseconds(200));  // it waits for the plugin, or its test is too easy
  go_on.Notify();
  maker.join();
  ASSERT_OK(meanwhile);
  api::SynchronizeRequest all;
  ASSERT_TRUE(all.ParseFromString(list));
  ASSERT_EQ(all.pods_size(), 1);
  EXPECT_EQ(all.pods(0).id(), pod.id());
  ASSERT_EQ(all.containers_size(), 1);
  EXPECT_EQ(all.containers(0).id(), before);
  EXPECT_EQ(all.containers(0).state(), api::CONTAINER_RUNNING);
  EXPECT_THAT(plugin->Methods(*meanwhile), Contains("CreateContainer"));
}

TEST_F(NriTest, ContainersAreChangedAndEndedAsAPluginWants) {
  const auto plugin = Join();
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  api::UpdateContainersRequest request;
  api::ContainerUpdate& update = *request.add_update();
  update.set_container_id(id);
  update.mutable_linux()->mutable_resources()->mutable_pids()->set_limit(55);
  const auto updated = plugin->Update(request);
  ASSERT_OK(updated);
  EXPECT_EQ(updated->failed_size(), 0);
  EXPECT_EQ(CgroupFile(id, OnV2() ? "" : "pids", "pids.max"), "55");
  request.Clear();
  request.add_evict()->set_container_id(id);
  ASSERT_OK(plugin->Update(request));
  for (int i = 0; i < 1000 && !testing::Value(plugin->Methods(id), Contains("StopContainer")); ++i)
    absl::SleepFor(absl::Milliseconds(10));
  EXPECT_THAT(plugin->Methods(id), Contains("StopContainer"));
}

TEST_F(NriTest, WithoutARequiredPluginPodsRunAndNoContainerIsMade) {
  ASSERT_NO_FATAL_FAILURE(Start("required = \"guard\"\n"));
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  EXPECT_THAT(pod.Create(MakeProbe("c", {"sleep"})).status().message(),
              HasSubstr("NRI plugin guard is required"));
  const auto guard = Join({}, "guard");
  EXPECT_OK(pod.Create(MakeProbe("c", {"sleep"})));
}

}  // namespace
}  // namespace berth::e2e
