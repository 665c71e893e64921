#include "src/nri/plugins.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "src/kernel/socket.h"
#include "src/nri/messages.h"
#include "src/nri/testing/fake_plugin.h"

namespace berth::nri {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string Said(const google::protobuf::MessageLite& message) {
  return message.SerializeAsString();
}

// Plugins of a node that a test describes.
class NriPluginsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/nri-test.XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    dir_ = pattern;
    options_ = {.socket = dir_ + "/run/nri.sock",
                .plugin_dir = dir_ + "/plugins",
                .config_dir = dir_ + "/conf.d",
                .required = {},
                .timeouts = {.registration = absl::Seconds(10), .request = absl::Seconds(10)},
                .runtime_version = "1.2.3",
                .log = &log_};
    pod_ = std::make_shared<PodRecord>();
    pod_->id = "pod1";
    pod_->config.name = "web";
    pod_->config.pod_namespace = "shop";
    pod_->config.uid = "u-1";
    pod_->status.state = PodState::kReady;
    container_ = std::make_shared<ContainerRecord>();
    container_->id = "c1";
    container_->pod_id = "pod1";
    container_->config.name = "app";
    spec_.args = {"sh"};
    spec_.env = {"A=0"};
  }
  void TearDown() override {
    plugins_.reset();
    std::filesystem::remove_all(dir_);
  }
  absl::Status Serve() {
    plugins_ = std::make_unique<Plugins>(options_);
    return plugins_->Serve(
        {.snapshot = [this] { return snapshot_; },
         .spec = [this](const ContainerRecord&, const PodRecord&) -> absl::StatusOr<ContainerSpec> {
           return spec_;
         },
         .update =
             [this](const std::string& id, const CgroupLimits& changes) {
               absl::MutexLock lock(&mu_);
               updated_.push_back(absl::StrCat(id, " ", changes.pids.value_or(-2)));
               return id == "unknown" ? absl::NotFoundError("no such container") : absl::OkStatus();
             },
         .stop =
             [this](const std::string& id) {
               if (id == "slow") slow_.WaitForNotification();
               absl::MutexLock lock(&mu_);
               ended_.push_back(id);
               return absl::OkStatus();
             }});
  }
  // A plugin that takes part on return.
  std::unique_ptr<FakePlugin> Join(const std::string& index, const std::string& name,
                                   FakePlugin::Answers answers = {}, int32_t events = 0) {
    auto plugin = FakePlugin::Connect(options_.socket, index, name, std::move(answers), events);
    if (!plugin.ok()) {
      ADD_FAILURE() << plugin.status();
      return nullptr;
    }
    EXPECT_TRUE((*plugin)->AwaitCall("Synchronize"));
    plugins_->HoldAdmission().reset();
    return *std::move(plugin);
  }
  absl::Status Create() { return plugins_->CreateContainer(*pod_, *container_, spec_).status(); }
  void Write(const std::string& file, const std::string& text, mode_t mode = 0644) {
    const std::filesystem::path path = dir_ + "/" + file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
    ::chmod(path.c_str(), mode);
  }
  std::vector<std::string> Updated() {
    absl::MutexLock lock(&mu_);
    return updated_;
  }
  bool AwaitUpdates(size_t count) {
    absl::MutexLock lock(&mu_);
    const auto enough = [&]()
                            ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return updated_.size() >= count; };
    return mu_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(10));
  }

  std::string dir_;
  Log log_{LogLevel::kError};
  Options options_;
  std::shared_ptr<PodRecord> pod_;
  std::shared_ptr<ContainerRecord> container_;
  ContainerSpec spec_;
  std::shared_ptr<const NodeSnapshot> snapshot_ = std::make_shared<const NodeSnapshot>();
  absl::Notification slow_;  // until then the end of "slow" takes
  absl::Mutex mu_;
  std::vector<std::string> updated_ ABSL_GUARDED_BY(mu_), ended_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<Plugins> plugins_;
};

// Of its first call by this method.
std::string PayloadOf(const FakePlugin& plugin, const std::string& method) {
  for (const FakePlugin::Call& call : plugin.Calls()) {
    if (call.method == method) return call.payload;
  }
  return "";
}

FakePlugin::Answers Adjusting(const api::CreateContainerResponse& response) {
  return {{"CreateContainer", [response](const std::string&) { return Said(response); }}};
}

api::CreateContainerResponse WithEnv(const std::string& key, const std::string& value) {
  api::CreateContainerResponse response;
  api::KeyValue& variable = *response.mutable_adjust()->add_env();
  variable.set_key(key);
  variable.set_value(value);
  return response;
}

TEST_F(NriPluginsTest, APluginIsConfiguredAndToldWhatThereIs) {
  Write("conf.d/10-one.conf", "of ten");
  Write("conf.d/two.conf", "of any");
  auto snapshot = std::make_shared<NodeSnapshot>();
  snapshot->pods.Put("pod1", pod_);
  snapshot->containers.Put("c1", container_);
  snapshot_ = snapshot;
  ASSERT_TRUE(Serve().ok());
  const auto one = Join("10", "one"), two = Join("20", "two");
  ASSERT_NE(one, nullptr);
  ASSERT_NE(two, nullptr);
  EXPECT_THAT(one->Methods(), ElementsAre("Configure", "Synchronize"));
  api::ConfigureRequest config;
  ASSERT_TRUE(config.ParseFromString(one->Calls()[0].payload));
  EXPECT_EQ(config.config(), "of ten");
  EXPECT_EQ(config.runtime_name(), "berth");
  EXPECT_EQ(config.runtime_version(), "1.2.3");
  EXPECT_EQ(config.request_timeout(), 10000);
  ASSERT_TRUE(config.ParseFromString(two->Calls()[0].payload));
  EXPECT_EQ(config.config(), "of any");
  api::SynchronizeRequest all;
  ASSERT_TRUE(all.ParseFromString(one->Calls()[1].payload));
  ASSERT_EQ(all.pods_size(), 1);
  EXPECT_EQ(all.pods(0).name(), "web");
  EXPECT_EQ(all.pods(0).namespace_(), "shop");
  EXPECT_EQ(all.pods(0).uid(), "u-1");
  ASSERT_EQ(all.containers_size(), 1);
  EXPECT_EQ(all.containers(0).name(), "app");
  EXPECT_THAT(all.containers(0).args(), ElementsAre("sh"));
}

TEST_F(NriPluginsTest, WhatThereIsIsToldInAsManyMessagesAsItTakes) {
  auto snapshot = std::make_shared<NodeSnapshot>();
  for (const char* id : {"a", "b", "c"}) {
    auto pod = std::make_shared<PodRecord>(*pod_);
    pod->id = id;
    pod->config.annotations["large"] = std::string(2 << 20, 'x');
    snapshot->pods.Put(id, pod);
  }
  snapshot_ = snapshot;
  ASSERT_TRUE(Serve().ok());
  const auto plugin = FakePlugin::Connect(options_.socket, "10", "one");
  ASSERT_TRUE(plugin.ok());
  size_t pods = 0;
  bool more = true;
  for (size_t i = 1; more; ++i) {
    const absl::Time deadline = absl::Now() + absl::Seconds(10);
    while ((*plugin)->Calls().size() <= i && absl::Now() < deadline)
      absl::SleepFor(absl::Milliseconds(1));
    ASSERT_GT((*plugin)->Calls().size(), i);
    api::SynchronizeRequest part;
    ASSERT_TRUE(part.ParseFromString((*plugin)->Calls()[i].payload));
    EXPECT_EQ(part.pods_size(), 1);
    pods += static_cast<size_t>(part.pods_size());
    more = part.more();
  }
  EXPECT_EQ(pods, 3U);
}

TEST_F(NriPluginsTest, PluginsAreAskedInTheOrderOfTheirIndicesAndSeeEachOthersChanges) {
  ASSERT_TRUE(Serve().ok());
  const auto later = Join("20", "later", Adjusting(WithEnv("B", "2")));
  const auto earlier = Join("10", "earlier", Adjusting(WithEnv("A", "1")));
  const auto changes = plugins_->CreateContainer(*pod_, *container_, spec_);
  ASSERT_TRUE(changes.ok()) << changes.status();
  EXPECT_THAT(changes->adjustment.edits.env, ElementsAre("A=1", "B=2"));
  EXPECT_FALSE(changes->limits.has_value());
  api::ContainerRequest seen;
  ASSERT_TRUE(seen.ParseFromString(PayloadOf(*later, "CreateContainer")));
  EXPECT_THAT(seen.container().env(), ElementsAre("A=1"));
  ASSERT_TRUE(seen.ParseFromString(PayloadOf(*earlier, "CreateContainer")));
  EXPECT_THAT(seen.container().env(), ElementsAre("A=0"));
  const auto read = ReadAdjustment(changes->stored);
  ASSERT_TRUE(read.ok());
  EXPECT_THAT(read->edits.env, ElementsAre("A=1", "B=2"));
}

TEST_F(NriPluginsTest, TwoThatSetTheSameLetNoContainerBeMade) {
  ASSERT_TRUE(Serve().ok());
  const auto one = Join("10", "one", Adjusting(WithEnv("A", "1")));
  const auto two = Join("20", "two", Adjusting(WithEnv("A", "2")));
  EXPECT_THAT(Create().message(), HasSubstr("10-one and 20-two both set Env A"));
}

TEST_F(NriPluginsTest, APluginMayRefuseAndItsWordsAreTold) {
  ASSERT_TRUE(Serve().ok());
  const auto plugin =
      Join("10", "strict",
           {{"CreateContainer",
             [](const std::string&) -> absl::StatusOr<std::string> {
               return absl::PermissionDeniedError("no such app here");
             }},
            {"RunPodSandbox", [](const std::string&) -> absl::StatusOr<std::string> {
               return absl::InternalError("not this pod");
             }}});
  const absl::Status refused = Create();
  EXPECT_TRUE(absl::IsPermissionDenied(refused)) << refused;
  EXPECT_THAT(refused.message(), HasSubstr("NRI plugin 10-strict: no such app here"));
  EXPECT_THAT(plugins_->RunPod(*pod_).message(), HasSubstr("not this pod"));
}

TEST_F(NriPluginsTest, AValidatorSeesWhoSetWhatAndMayReject) {
  ASSERT_TRUE(Serve().ok());
  const auto changer = Join("10", "changer", Adjusting(WithEnv("A", "1")));
  api::ValidateContainerAdjustmentResponse no;
  no.set_reject(true);
  no.set_reason("A is ours");
  const auto validator =
      Join("90", "validator",
           {{"ValidateContainerAdjustment", [no](const std::string&) { return Said(no); }}},
           1 << (api::VALIDATE_CONTAINER_ADJUSTMENT - 1));
  const absl::Status rejected = Create();
  EXPECT_TRUE(absl::IsPermissionDenied(rejected)) << rejected;
  EXPECT_THAT(rejected.message(), HasSubstr("90-validator rejects it: A is ours"));
  api::ValidateContainerAdjustmentRequest asked;
  ASSERT_TRUE(asked.ParseFromString(PayloadOf(*validator, "ValidateContainerAdjustment")));
  EXPECT_EQ(asked.owners().owners().at("c1").compound().at(api::Env).owners().at("A"),
            "10-changer");
  ASSERT_EQ(asked.plugins_size(), 1);
  EXPECT_EQ(asked.plugins(0).name(), "changer");
  EXPECT_THAT(asked.container().env(), ElementsAre("A=0"));
}

TEST_F(NriPluginsTest, OneThatDoesNotAnswerIsCutOffAndHoldsNobodyUp) {
  options_.timeouts.request = absl::Milliseconds(200);
  ASSERT_TRUE(Serve().ok());
  absl::Notification release;
  const auto hung = Join("10", "hung", {{"CreateContainer", [&](const std::string&) {
                                           release.WaitForNotification();
                                           return std::string();
                                         }}});
  const auto good = Join("20", "good", Adjusting(WithEnv("A", "1")));
  const auto changes = plugins_->CreateContainer(*pod_, *container_, spec_);
  release.Notify();
  ASSERT_TRUE(changes.ok()) << changes.status();
  EXPECT_THAT(changes->adjustment.edits.env, ElementsAre("A=1"));
  EXPECT_TRUE(hung->AwaitEnd());
  ASSERT_TRUE(Create().ok());
  EXPECT_EQ(hung->Methods().size(), 3U);
}

TEST_F(NriPluginsTest, WithoutARequiredOneNoContainerIsMade) {
  options_.required = {"guard"};
  ASSERT_TRUE(Serve().ok());
  const auto other = Join("50", "no-guard");
  EXPECT_THAT(Create().message(), HasSubstr("NRI plugin guard is required"));
  auto guard = Join("50", "guard");
  EXPECT_TRUE(Create().ok());
  guard->Disconnect();
  EXPECT_TRUE(guard->AwaitEnd());
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (Create().ok() && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_TRUE(absl::IsUnavailable(Create()));
}

TEST_F(NriPluginsTest, AnEndIsToldOnceByWhomeverItIsSeen) {
  ASSERT_TRUE(Serve().ok());
  const auto plugin = Join("10", "one");
  container_->status.state = ContainerState::kExited;
  plugins_->ContainerExited(pod_, container_);
  plugins_->ContainerStopped(*pod_, *container_);
  plugins_->ContainerStopped(*pod_, *container_);
  plugins_->PodStopped(*pod_);
  plugins_->PodStopped(*pod_);
  plugins_->ContainerRemoved(*pod_, *container_);
  plugins_->PodRemoved(*pod_);
  EXPECT_THAT(plugin->Methods(),
              ElementsAre("Configure", "Synchronize", "StopContainer", "StopPodSandbox",
                          "RemoveContainer", "RemovePodSandbox"));
}

TEST_F(NriPluginsTest, AnEndIsToldToAllWhateverOneSaysOfIt) {
  ASSERT_TRUE(Serve().ok());
  const auto first =
      Join("10", "one",
           {{"StopContainer", [](const std::string&) { return absl::InternalError("never"); }}});
  const auto second = Join("20", "two");
  plugins_->ContainerStopped(*pod_, *container_);
  EXPECT_THAT(second->Methods("c1"), ElementsAre("StopContainer"));
}

// The thread that tells of ends by themselves may come to it late.
TEST_F(NriPluginsTest, NoEndIsToldOfAContainerThatIsRemoved) {
  ASSERT_TRUE(Serve().ok());
  const auto plugin = Join("10", "one");
  api::UpdateContainersRequest evict;
  evict.add_evict()->set_container_id("slow");
  ASSERT_TRUE(plugin->Update(evict).ok());
  container_->status.state = ContainerState::kExited;
  plugins_->ContainerExited(pod_, container_);
  plugins_->ContainerStopped(*pod_, *container_);
  plugins_->ContainerRemoved(*pod_, *container_);
  evict.mutable_evict(0)->set_container_id("behind");
  ASSERT_TRUE(plugin->Update(evict).ok());
  slow_.Notify();
  {
    absl::MutexLock lock(&mu_);
    const auto both = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return ended_.size() == 2; };
    ASSERT_TRUE(mu_.AwaitWithTimeout(absl::Condition(&both), absl::Seconds(10)));
  }
  EXPECT_THAT(plugin->Methods("c1"), ElementsAre("StopContainer", "RemoveContainer"));
}

TEST_F(NriPluginsTest, WhatHasEndedBeforeIsOnlyInTheListOfWhatThereIs) {
  container_->status.state = ContainerState::kExited;
  pod_->status.state = PodState::kNotReady;
  auto snapshot = std::make_shared<NodeSnapshot>();
  snapshot->pods.Put("pod1", pod_);
  snapshot->containers.Put("c1", container_);
  snapshot_ = snapshot;
  ASSERT_TRUE(Serve().ok());
  const auto plugin = Join("10", "one");
  plugins_->ContainerStopped(*pod_, *container_);
  plugins_->PodStopped(*pod_);
  EXPECT_THAT(plugin->Methods(), ElementsAre("Configure", "Synchronize"));
}

TEST_F(NriPluginsTest, APluginIsToldOnlyWhatItAskedFor) {
  ASSERT_TRUE(Serve().ok());
  const auto plugin = Join("10", "one", {}, 1 << (api::STOP_CONTAINER - 1));
  ASSERT_TRUE(Create().ok());
  ASSERT_TRUE(plugins_->StartContainer(*pod_, *container_).ok());
  plugins_->ContainerStarted(*pod_, *container_);
  plugins_->ContainerStopped(*pod_, *container_);
  EXPECT_THAT(plugin->Methods("c1"), ElementsAre("StopContainer"));
}

TEST_F(NriPluginsTest, WhatAPluginWantsOfOtherContainersIsDone) {
  ASSERT_TRUE(Serve().ok());
  api::CreateContainerResponse create;
  api::ContainerUpdate& update = *create.add_update();
  update.set_container_id("other");
  update.mutable_linux()->mutable_resources()->mutable_pids()->set_limit(5);
  api::StopContainerResponse stop;
  *stop.add_update() = update;
  stop.mutable_update(0)->mutable_linux()->mutable_resources()->mutable_pids()->set_limit(6);
  auto answers = Adjusting(create);
  answers["StopContainer"] = [stop](const std::string&) { return Said(stop); };
  const auto plugin = Join("10", "one", answers);
  ASSERT_TRUE(Create().ok());
  EXPECT_THAT(Updated(), IsEmpty());  // one that is not made in the end changes no other
  plugins_->ContainerRemoved(*pod_, *container_);
  plugins_->ContainerCreated(*pod_, *container_);
  EXPECT_THAT(Updated(), IsEmpty());
  ASSERT_TRUE(Create().ok());
  plugins_->ContainerCreated(*pod_, *container_);
  EXPECT_THAT(Updated(), ElementsAre("other 5"));
  plugins_->ContainerStopped(*pod_, *container_);
  ASSERT_TRUE(AwaitUpdates(2));
  EXPECT_THAT(Updated(), ElementsAre("other 5", "other 6"));
  api::UpdateContainersRequest unasked;
  *unasked.add_update() = update;
  api::ContainerUpdate& unknown = *unasked.add_update();
  unknown.set_container_id("unknown");
  api::ContainerUpdate& tolerated = *unasked.add_update();
  tolerated.set_container_id("unknown");
  tolerated.set_ignore_failure(true);
  unasked.add_evict()->set_container_id("bad");
  const auto failed = plugin->Update(unasked);
  ASSERT_TRUE(failed.ok()) << failed.status();
  ASSERT_EQ(failed->failed_size(), 1);
  EXPECT_EQ(failed->failed(0).container_id(), "unknown");
  absl::MutexLock lock(&mu_);
  const auto ended = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !ended_.empty(); };
  ASSERT_TRUE(mu_.AwaitWithTimeout(absl::Condition(&ended), absl::Seconds(10)));
  EXPECT_THAT(ended_, ElementsAre("bad"));
}

TEST_F(NriPluginsTest, AnUpdateIsDoneAsPluginsChangeIt) {
  ASSERT_TRUE(Serve().ok());
  api::UpdateContainerResponse response;
  api::ContainerUpdate& own = *response.add_update();
  own.set_container_id("c1");
  own.mutable_linux()->mutable_resources()->mutable_pids()->set_limit(9);
  const auto plugin =
      Join("10", "one",
           {{"UpdateContainer", [response](const std::string&) { return Said(response); }}});
  const auto changed =
      plugins_->UpdateContainer(*pod_, *container_, {.memory_bytes = 4096, .pids = 3});
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_EQ(changed->memory_bytes, 4096);
  EXPECT_EQ(changed->pids, 9);
  api::UpdateContainerRequest asked;
  ASSERT_TRUE(asked.ParseFromString(PayloadOf(*plugin, "UpdateContainer")));
  EXPECT_EQ(asked.linux_resources().memory().limit().value(), 4096);
}

TEST_F(NriPluginsTest, BytesThatAreNoCallEndTheConnectionAndNoOther) {
  ASSERT_TRUE(Serve().ok());
  const auto good = Join("10", "one");
  auto bad = ConnectUnix(options_.socket, SOCK_STREAM);
  ASSERT_TRUE(bad.ok());
  const std::string garbage(100, '\xff');
  ASSERT_EQ(::send(bad->get(), garbage.data(), garbage.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(garbage.size()));
  char byte = 0;
  EXPECT_EQ(::recv(bad->get(), &byte, 1, 0), 0);
  ASSERT_TRUE(Create().ok());
  EXPECT_THAT(good->Methods("c1"), Contains("CreateContainer"));
}

// More than there may be at a time.
TEST_F(NriPluginsTest, ConnectionsThatEndAtOnceLeaveRoomForOthers) {
  ASSERT_TRUE(Serve().ok());
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(ConnectUnix(options_.socket, SOCK_STREAM).ok());
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  absl::StatusOr<std::unique_ptr<FakePlugin>> plugin = absl::UnavailableError("");
  while (!plugin.ok() && absl::Now() < deadline)
    plugin = FakePlugin::Connect(options_.socket, "10", "one");
  ASSERT_TRUE(plugin.ok()) << plugin.status();
  EXPECT_TRUE((*plugin)->AwaitCall("Synchronize"));
}

TEST_F(NriPluginsTest, WhoDoesNotRegisterIsCutOff) {
  options_.timeouts.registration = absl::Milliseconds(100);
  ASSERT_TRUE(Serve().ok());
  auto silent = ConnectUnix(options_.socket, SOCK_STREAM);
  ASSERT_TRUE(silent.ok());
  char byte = 0;
  EXPECT_EQ(::recv(silent->get(), &byte, 1, 0), 0);
}

TEST_F(NriPluginsTest, ANameThatIsNoneIsRefused) {
  ASSERT_TRUE(Serve().ok());
  const auto none = FakePlugin::Connect(options_.socket, "1", "one");
  EXPECT_THAT(none.status().message(), HasSubstr("two digits"));
  EXPECT_TRUE(ParsePluginName("10-a.b_c+d-e").ok());
  for (const char* name : {"", "10", "10-", "1-a", "ab-c", "10-a b", "10-a/b"})
    EXPECT_FALSE(ParsePluginName(name).ok()) << name;
}

TEST_F(NriPluginsTest, EndsWithAWordAndLeavesTheSocketToNobody) {
  ASSERT_TRUE(Serve().ok());
  const auto plugin = Join("10", "one");
  plugins_->Stop();
  EXPECT_THAT(plugin->Methods(), Contains("Shutdown"));
  EXPECT_TRUE(plugin->AwaitEnd());
  EXPECT_FALSE(std::filesystem::exists(options_.socket));
  EXPECT_TRUE(Create().ok());
}

TEST_F(NriPluginsTest, TheSocketOfAnotherRuntimeIsLeftAlone) {
  ASSERT_TRUE(Serve().ok());
  Plugins second(options_);
  EXPECT_TRUE(absl::IsAlreadyExists(second.Serve({.snapshot = [this] { return snapshot_; }})));
  EXPECT_NE(Join("10", "one"), nullptr);
}

// It is started with a connected socket, and ended with the daemon.
TEST_F(NriPluginsTest, InstalledProgramsAreStarted) {
  Write("plugins/30-installed",
        absl::StrCat("#!/bin/sh\necho \"$NRI_PLUGIN_IDX $NRI_PLUGIN_NAME $NRI_PLUGIN_SOCKET\" >",
                     dir_, "/started.new\nmv ", dir_, "/started.new ", dir_,
                     "/started\ncat <&3 >/dev/null\necho >", dir_, "/ended\n"),
        0755);
  Write("plugins/no-plugin", "#!/bin/sh\n", 0755);
  Write("plugins/40-anybodys", "#!/bin/sh\ntouch " + dir_ + "/wrong\n", 0777);
  ASSERT_TRUE(Serve().ok());
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (!std::filesystem::exists(dir_ + "/started") && absl::Now() < deadline)
    absl::SleepFor(absl::Milliseconds(5));
  std::string line;
  std::getline(std::ifstream(dir_ + "/started"), line);
  EXPECT_EQ(line, "30 installed 3");
  plugins_->Stop();
  EXPECT_TRUE(std::filesystem::exists(dir_ + "/ended"));
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/wrong"));
}

}  // namespace
}  // namespace berth::nri
