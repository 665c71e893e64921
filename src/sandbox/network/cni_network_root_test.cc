// CNI networks with a plugin that records and misbehaves (testing/recording_plugin.py).
#include "src/base/steady_time.h"
#include "src/sandbox/network/cni_network.h"

#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "nlohmann/json.hpp"
#include "src/base/id.h"
#include "src/kernel/testing/network_namespace.h"
#include "src/sandbox/network/cni_config.h"
#include "src/sandbox/network/netns_pin.h"
#include "src/store/attachments.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::Duration kPatience = absl::Seconds(60);

bool Eventually(const std::function<bool()>& condition) {
  const absl::Time deadline = SteadyNow() + kPatience;
  while (!condition()) {
    if (SteadyNow() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return true;
}

struct TestPod {
  std::string id = NewId();
  NetworkNamespace netns;
  PodAttachment Request() const {
    PodAttachment pod;
    pod.pod_id = id;
    pod.name = "web";
    pod.pod_namespace = "default";
    pod.uid = "u1";
    pod.netns_fd = netns.fd();
    pod.netlink_fd = netns.route_fd();
    return pod;
  }
};

class CniNetworkRootTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: makes network namespaces";
    std::string pattern = ::testing::TempDir() + "/cni-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    for (const char* below : {"/bin/state/leases", "/net.d", "/netns"})
      fs::create_directories(directory_ + below);
    InstallPlugin("recording");
    WriteConfig("1.0.0", {"recording"});
    Restart();
  }
  void TearDown() override {
    Modes("");
    if (network_ != nullptr) {
      for (const std::string& id : ids_)
        EXPECT_TRUE(Eventually([&] { return network_->Detach(id).ok(); }));
      EXPECT_TRUE(Eventually([&] { return network_->RemoveIfUnused().ok(); }));
      EXPECT_THAT(Names("/netns"), IsEmpty());
      EXPECT_THAT(Names("/bin/state/leases"), IsEmpty());
    }
    network_.reset();
    database_.reset();
    if (directory_.empty()) return;
    ::umount2((directory_ + "/netns").c_str(), MNT_DETACH);
    fs::remove_all(directory_);
  }

  void InstallPlugin(const std::string& name) {
    fs::copy_file(BERTH_SOURCE_DIR "/src/sandbox/network/testing/recording_plugin.py",
                  directory_ + "/bin/" + name, fs::copy_options::overwrite_existing);
  }
  void WriteFile(const std::string& below, const std::string& text) {
    std::ofstream(directory_ + below + ".new") << text;
    fs::rename(directory_ + below + ".new", directory_ + below);
  }
  void WriteConfig(const std::string& version, const std::vector<std::string>& types,
                   const std::string& file = "/net.d/10-pods.conflist") {
    Json plugins = Json::array();
    for (const std::string& type : types)
      plugins.push_back({{"type", type}, {"capabilities", {{"portMappings", true}}}});
    WriteFile(file, Json{{"name", "pods"}, {"cniVersion", version}, {"plugins", plugins}}.dump());
  }
  void Modes(const std::string& modes) {
    if (!directory_.empty()) WriteFile("/bin/state/modes", modes);
  }
  // As a daemon that was killed and started again; `live` are the pods that it finds running.
  void Restart(const absl::flat_hash_set<std::string>& live = {}) {
    network_.reset();
    database_.reset();
    auto database = Database::Open(directory_ + "/berth.db");
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);
    CniNetwork::Options options;
    options.conf_dir = directory_ + "/net.d";
    options.bin_dirs = {directory_ + "/bin"};
    options.netns_dir = directory_ + "/netns";
    options.conf_template = template_;
    options.cgroup = absl::StrCat("/berth-cni-test-", ::getpid());
    options.plugin_timeout = timeout_;
    options.stop_patience = patience_;
    options.pool_size = pool_size_;
    options.first_pause = absl::Milliseconds(20);
    options.longest_pause = absl::Milliseconds(200);
    auto network = CniNetwork::Open(options, *database_);
    ASSERT_TRUE(network.ok()) << network.status();
    network_ = *std::move(network);
    network_->Reconcile(live);
  }
  absl::Status Attach(TestPod& pod) {
    EXPECT_TRUE(Eventually([&] { return network_->Readiness().ready; }))
        << network_->Readiness().message;
    ids_.push_back(pod.id);
    return network_->Attach(pod.Request()).status();
  }
  std::vector<Json> Calls() {
    std::vector<Json> calls;
    std::ifstream file(directory_ + "/bin/state/calls");
    for (std::string line; std::getline(file, line);) calls.push_back(Json::parse(line));
    return calls;
  }
  std::vector<std::string> Commands() {
    std::vector<std::string> commands;
    for (const Json& call : Calls()) commands.push_back(call["command"]);
    return commands;
  }
  std::vector<std::string> Names(const std::string& below) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory_ + below))
      names.push_back(entry.path().filename());
    return names;
  }
  bool HasRow() { return !LoadAttachments(*database_)->empty(); }

  std::string directory_, template_;
  size_t pool_size_ = 0;
  absl::Duration timeout_ = absl::Seconds(60), patience_ = absl::Minutes(5);
  std::unique_ptr<Database> database_;
  std::unique_ptr<CniNetwork> network_;
  std::vector<std::string> ids_;
};

TEST_F(CniNetworkRootTest, PluginsAreToldWhatTheSpecificationSays) {
  TestPod pod;
  PodAttachment request = pod.Request();
  request.ports = {{.protocol = PortProtocol::kUdp, .container_port = 53, .host_port = 5353}};
  ids_.push_back(pod.id);
  ASSERT_TRUE(Eventually([&] { return network_->Readiness().ready; }));
  const auto addresses = network_->Attach(request);
  ASSERT_TRUE(addresses.ok()) << addresses.status();
  EXPECT_THAT(*addresses, ElementsAre("10.209.0.2"));
  ASSERT_EQ(Calls().size(), 1u);
  const Json call = Calls()[0];
  EXPECT_EQ(call["container"], pod.id);
  EXPECT_TRUE(IsNetns(call["netns"]));
  EXPECT_EQ(call["args"],
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;"
            "K8S_POD_INFRA_CONTAINER_ID=" +
                pod.id + ";K8S_POD_UID=u1");
  for (const Json& name : call["env"]) {
    const auto text = name.get<std::string>();
    EXPECT_TRUE(text == "PATH" || text == "LC_CTYPE" || text.find("CNI_") == 0) << text;
  }
  EXPECT_EQ(call["input"]["name"], "pods");
  EXPECT_EQ(call["input"]["cniVersion"], "1.0.0");
  EXPECT_EQ(call["input"]["runtimeConfig"]["portMappings"][0]["hostPort"], 5353);
  EXPECT_EQ(call["input"]["runtimeConfig"]["portMappings"][0]["protocol"], "udp");
  EXPECT_TRUE(HasRow());
}

TEST_F(CniNetworkRootTest, ResultsAreChainedAndDelGetsTheLastInReverseOrder) {
  InstallPlugin("second");
  WriteConfig("1.0.0", {"recording", "second"});
  Restart();
  TestPod pod;
  ASSERT_TRUE(Attach(pod).ok());
  ASSERT_TRUE(network_->Detach(pod.id).ok());
  const std::vector<Json> calls = Calls();
  ASSERT_EQ(calls.size(), 4u);
  EXPECT_EQ(calls[1]["plugin"], "second");
  EXPECT_EQ(calls[1]["input"]["prevResult"]["ips"][0]["address"], "10.209.0.2/28");
  EXPECT_EQ(calls[2]["plugin"], "second");
  EXPECT_EQ(calls[2]["command"], "DEL");
  EXPECT_EQ(calls[2]["input"]["prevResult"]["ips"][0]["address"], "10.209.0.2/28");
  EXPECT_EQ(calls[3]["plugin"], "recording");
  EXPECT_FALSE(HasRow());
}

TEST_F(CniNetworkRootTest, EachVersionIsSpokenAsItIs) {
  for (const std::string& version : KnownCniVersions()) {
    WriteConfig(version, {"recording"});
    Restart();
    TestPod pod;
    ASSERT_TRUE(Attach(pod).ok()) << version;
    ASSERT_TRUE(network_->Detach(pod.id).ok()) << version;
    const Json last = Calls().back();
    EXPECT_EQ(last["command"], "DEL") << version;
    EXPECT_EQ(last["input"]["cniVersion"], version);
    EXPECT_EQ(last["input"].contains("prevResult"), version >= "0.4.0") << version;
  }
}

TEST_F(CniNetworkRootTest, PodBeginsInANamespaceThatIsReadyAndNobodyGetsItAgain) {
  pool_size_ = 2;
  Restart();
  ASSERT_TRUE(Eventually([&] { return network_->Readiness().ready; }));
  EXPECT_EQ(network_->counts().ready, 0);  // the node is left alone until the first pod
  ASSERT_TRUE(network_->Begin({.made_in_advance = true}).ok());
  ASSERT_TRUE(Eventually([&] { return network_->counts().ready == 2; }));
  EXPECT_FALSE(network_->Begin({.made_in_advance = false})->netns.valid());
  std::set<ino_t> seen;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Eventually([&] { return network_->counts().ready > 0; }));
    const auto claim = network_->Begin({.made_in_advance = true});
    ASSERT_TRUE(claim.ok()) << claim.status();
    struct stat info = {};
    ASSERT_EQ(::fstat(claim->netns.get(), &info), 0);
    EXPECT_TRUE(seen.insert(info.st_ino).second);
  }
  ASSERT_TRUE(network_->RemoveIfUnused().ok());
  EXPECT_EQ(network_->counts().ready, 0);
}

TEST_F(CniNetworkRootTest, FailedAddIsTakenBackAndToldInThePluginsWords) {
  for (const char* mode : {"ADD fail", "ADD late", "ADD crash", "ADD garbage", "ADD flood"}) {
    Modes(mode);
    TestPod pod;
    const absl::Status status = Attach(pod);
    EXPECT_FALSE(status.ok()) << mode;
    EXPECT_THAT(std::string(status.message()), HasSubstr("recording")) << mode;
    EXPECT_EQ(Commands().back(), "DEL") << mode;
    EXPECT_FALSE(HasRow()) << mode;
    EXPECT_THAT(Names("/netns"), IsEmpty()) << mode;
  }
}

TEST_F(CniNetworkRootTest, HangingPluginIsKilledWithItsChildrenAndHoldsUpNoOtherPod) {
  timeout_ = absl::Seconds(2);
  Restart();
  Modes("ADD hang");
  TestPod hung;
  std::thread hanging([&] { EXPECT_EQ(Attach(hung).code(), absl::StatusCode::kDeadlineExceeded); });
  EXPECT_TRUE(Eventually([&] { return !Calls().empty(); }));
  Modes("");
  TestPod other;
  EXPECT_TRUE(network_->Attach(other.Request()).ok());
  ids_.push_back(other.id);
  hanging.join();
  EXPECT_TRUE(Eventually([&] { return network_->counts().pending_deletions == 0; }));
  // The child had left the plugin's process group and session.
  const std::string plugin = directory_ + "/bin/recording";
  EXPECT_TRUE(Eventually([&] {
    for (const auto& entry : fs::directory_iterator("/proc")) {
      std::ifstream file(entry.path() / "cmdline");
      std::stringstream text;
      text << file.rdbuf();
      if (text.str().find(plugin) != std::string::npos) return false;
    }
    return true;
  }));
}

TEST_F(CniNetworkRootTest, FailedDelIsToldAndTriedUntilItSucceeds) {
  TestPod pod;
  ASSERT_TRUE(Attach(pod).ok());
  Modes("DEL fail");
  EXPECT_EQ(network_->Detach(pod.id).code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(HasRow());
  EXPECT_EQ(network_->counts().pending_deletions, 1);
  EXPECT_THAT(network_->Describe(), HasSubstr("told to fail"));
  Modes("");
  EXPECT_TRUE(Eventually([&] { return network_->counts().pending_deletions == 0; }));
  EXPECT_FALSE(HasRow());
  EXPECT_THAT(Names("/bin/state/leases"), IsEmpty());
}

TEST_F(CniNetworkRootTest, StopIsNotHeldUpForEver) {
  patience_ = absl::ZeroDuration();
  Restart();
  TestPod pod;
  ASSERT_TRUE(Attach(pod).ok());
  Modes("DEL fail");
  EXPECT_TRUE(network_->Detach(pod.id).ok());
  EXPECT_THAT(Names("/netns"), IsEmpty());
  EXPECT_TRUE(HasRow());
  Modes("");
  EXPECT_TRUE(Eventually([&] { return !HasRow(); }));
  EXPECT_EQ(Calls().back()["netns"], "");
}

TEST_F(CniNetworkRootTest, MissingPluginDoesNotHoldUpStopAndTheOthersAreStillAsked) {
  InstallPlugin("second");
  WriteConfig("1.0.0", {"recording", "second"});
  Restart();
  TestPod pod;
  ASSERT_TRUE(Attach(pod).ok());
  fs::remove(directory_ + "/bin/second");
  fs::remove(directory_ + "/net.d/10-pods.conflist");
  EXPECT_TRUE(network_->Detach(pod.id).ok());
  EXPECT_EQ(Calls().back()["plugin"], "recording");
  EXPECT_EQ(Calls().back()["command"], "DEL");
  EXPECT_TRUE(HasRow());
  InstallPlugin("second");
  EXPECT_TRUE(Eventually([&] { return !HasRow(); }));
}

TEST_F(CniNetworkRootTest, WhatADeadDaemonLeftIsTakenBackByTheNext) {
  TestPod lives, dies;
  ASSERT_TRUE(Attach(lives).ok());
  ASSERT_TRUE(Attach(dies).ok());
  Restart({lives.id});
  EXPECT_TRUE(Eventually([&] { return network_->counts().pending_deletions == 0; }));
  EXPECT_EQ(network_->counts().attached, 1);
  // The one that lives is looked at, not taken down.
  EXPECT_TRUE(Eventually([&] {
    const auto commands = Commands();
    return std::count(commands.begin(), commands.end(), "CHECK") == 1;
  }));
  EXPECT_EQ(Names("/bin/state/leases").size(), 1u);
}

TEST_F(CniNetworkRootTest, AfterARebootDelGetsNoNamespace) {
  TestPod pod;
  ASSERT_TRUE(Attach(pod).ok());
  network_.reset();
  for (const std::string& name : Names("/netns"))
    ASSERT_TRUE(UnpinNetns(directory_ + "/netns/" + name).ok());
  Restart();
  EXPECT_TRUE(Eventually([&] { return !HasRow(); }));
  EXPECT_EQ(Calls().back()["command"], "DEL");
  EXPECT_EQ(Calls().back()["netns"], "");
}

TEST_F(CniNetworkRootTest, ConfigurationIsFollowedAsItChanges) {
  EXPECT_TRUE(Eventually([&] { return network_->Readiness().ready; }));
  fs::remove(directory_ + "/net.d/10-pods.conflist");
  EXPECT_TRUE(Eventually([&] { return !network_->Readiness().ready; }));
  EXPECT_THAT(network_->Readiness().message, HasSubstr("no CNI configuration in"));
  EXPECT_FALSE(network_->HasConfig());
  TestPod pod;
  EXPECT_EQ(network_->Attach(pod.Request()).status().code(), absl::StatusCode::kUnavailable);
  WriteFile("/net.d/05-broken.conf", "{");
  EXPECT_TRUE(Eventually([&] { return network_->HasConfig(); }));
  EXPECT_THAT(network_->Readiness().message, HasSubstr("05-broken.conf"));
  WriteConfig("0.4.0", {"recording"});
  EXPECT_TRUE(Eventually([&] { return network_->Readiness().ready; }));
  // One that is being written in place does not count.
  std::ofstream(directory_ + "/net.d/10-pods.conflist") << "{";
  EXPECT_TRUE(Eventually(
      [&] { return network_->Describe().find("10-pods.conflist: ") != std::string::npos; }));
  EXPECT_TRUE(network_->Readiness().ready);
  fs::remove_all(directory_ + "/net.d");
  EXPECT_TRUE(Eventually([&] { return !network_->Readiness().ready; }));
  EXPECT_TRUE(Eventually([&] { return fs::exists(directory_ + "/net.d"); }));
  WriteConfig("1.0.0", {"recording"});
  EXPECT_TRUE(Eventually([&] { return network_->Readiness().ready; }));
}

TEST_F(CniNetworkRootTest, StatusDecidesAboutReadinessInTheBackground) {
  WriteConfig("1.1.0", {"recording"});
  Modes("STATUS fail");
  Restart();
  EXPECT_TRUE(Eventually(
      [&] { return network_->Readiness().message.find("told to fail") != std::string::npos; }));
  Modes("");
  EXPECT_TRUE(Eventually([&] { return network_->Readiness().ready; }));
}

TEST_F(CniNetworkRootTest, ConfigurationIsReplacedWhileItsPluginHangs) {
  for (const char* command : {"STATUS", "GC"}) {
    timeout_ = absl::InfiniteDuration();
    WriteConfig("1.1.0", {"recording"});
    Modes(absl::StrCat(command, " hang"));
    Restart();
    ASSERT_TRUE(Eventually([&] {
      const std::vector<std::string> commands = Commands();
      return !commands.empty() && commands.back() == command;
    })) << command;
    WriteConfig("1.0.0", {"recording"});
    EXPECT_TRUE(Eventually([&] {
      return Json::parse(network_->Describe())["network"]["cniVersion"] == "1.0.0" &&
             network_->Readiness().ready;
    })) << command;
  }
}

TEST_F(CniNetworkRootTest, GarbageIsCollectedAtStartWithTheListOfWhatLives) {
  WriteConfig("1.1.0", {"recording"});
  Restart();
  TestPod pod;
  ASSERT_TRUE(Attach(pod).ok());
  WriteFile("/bin/state/leases/10.209.0.14", "nobody");
  Restart({pod.id});
  EXPECT_TRUE(Eventually([&] { return Names("/bin/state/leases").size() == 1; }));
  EXPECT_EQ(Names("/bin/state/leases")[0], "10.209.0.2");
}

TEST_F(CniNetworkRootTest, NoStatusAndNoGcBelowVersionOneOne) {
  TestPod pod;
  ASSERT_TRUE(Attach(pod).ok());
  ASSERT_TRUE(network_->Detach(pod.id).ok());
  WriteFile("/bin/state/versions", "0.4.0\n1.0.0\n");
  InstallPlugin("recording");
  WriteConfig("1.1.0", {"recording"});
  Restart();
  ASSERT_TRUE(Eventually([&] { return network_->Readiness().ready; }));
  EXPECT_THAT(Commands(), ElementsAre("ADD", "DEL"));
}

TEST_F(CniNetworkRootTest, PodCidrMakesAConfigurationOfTheTemplateOnce) {
  template_ = directory_ + "/template";
  WriteFile("/template", R"({"name": "rendered", "cniVersion": "1.0.0", "plugins": [
      {"type": "recording", "ipam": {"ranges": {{.PodCIDRRanges}}, "routes": {{.Routes}}}}]})");
  fs::remove(directory_ + "/net.d/10-pods.conflist");
  Restart();
  EXPECT_TRUE(absl::IsInvalidArgument(network_->SetPodCidrs({"10.1.0.5/24"})));
  ASSERT_TRUE(network_->SetPodCidrs({"10.1.0.0/24", "fd00:1::/64"}).ok());
  EXPECT_TRUE(Eventually([&] { return network_->Readiness().ready; }));
  EXPECT_THAT(network_->Describe(), HasSubstr(R"("subnet":"fd00:1::/64")"));
  ASSERT_TRUE(network_->SetPodCidrs({"10.2.0.0/24"}).ok());
  EXPECT_THAT(network_->Describe(), HasSubstr("10.1.0.0/24"));
}

// Failures of all kinds, deaths of the daemon and reboots, on a pool of 13 addresses: in the end
// each can be had again. BERTH_CNI_CYCLES=1000 for the long form.
TEST_F(CniNetworkRootTest, NoAddressIsLostWhateverHappens) {
  const char* wanted = ::getenv("BERTH_CNI_CYCLES");
  const int cycles = wanted != nullptr ? std::atoi(wanted) : 50;
  std::mt19937 random(6);
  timeout_ = absl::Milliseconds(700);
  Restart();
  std::map<std::string, std::unique_ptr<TestPod>> pods;
  constexpr const char* kModes[] = {"",
                                    "",
                                    "",
                                    "ADD fail",
                                    "ADD late",
                                    "ADD crash",
                                    "ADD garbage",
                                    "ADD hang",
                                    "DEL fail",
                                    "DEL late",
                                    "DEL crash",
                                    "DEL hang",
                                    "ADD flood",
                                    "ADD late\nDEL fail"};
  for (int cycle = 0; cycle < cycles; ++cycle) {
    Modes(kModes[random() % std::size(kModes)]);
    auto pod = std::make_unique<TestPod>();
    if (Attach(*pod).ok()) pods[pod->id] = std::move(pod);
    while (pods.size() > random() % 8) {
      network_->Detach(pods.begin()->first).IgnoreError();  // the journal goes on by itself
      pods.erase(pods.begin());
    }
    const auto what = random() % 8;
    if (what > 1) continue;
    absl::flat_hash_set<std::string> live;
    for (const auto& [id, each] : pods) live.insert(id);
    if (what == 0) {
      Restart(live);
      continue;
    }
    network_.reset();
    for (const std::string& name : Names("/netns"))
      UnpinNetns(directory_ + "/netns/" + name).IgnoreError();
    pods.clear();
    Restart();
  }
  Modes("");
  for (const auto& [id, pod] : pods) EXPECT_TRUE(network_->Detach(id).ok());
  EXPECT_TRUE(Eventually([&] { return !HasRow(); })) << network_->Describe();
  std::vector<std::unique_ptr<TestPod>> all;
  for (int i = 0; i < 13; ++i) {
    all.push_back(std::make_unique<TestPod>());
    EXPECT_TRUE(Attach(*all.back()).ok()) << i;
  }
}

}  // namespace
}  // namespace berth
