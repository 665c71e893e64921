// CNI networks, with Debian's plugins and with one that records and misbehaves.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "test/e2e/cni_fixture.h"
#include "test/e2e/isolation.h"

namespace berth::e2e {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

class CniTest : public CniFixture {};

TEST_F(CniTest, BridgePortmapAndTuningMakeANetwork) {
  WriteNetwork(Json::array(
      {Bridge(), Portmap(), {{"type", "tuning"}, {"sysctl", {{"net.core.somaxconn", "77"}}}}}));
  ASSERT_NO_FATAL_FAILURE(StartNode());
  ASSERT_TRUE(WaitUntilReady());
  cri::PodSandboxConfig config = MakePodConfig(Name());
  config.set_hostname("first");
  cri::PortMapping* port = config.add_port_mappings();
  port->set_host_port(12010);
  port->set_container_port(8080);
  ASSERT_OK_AND_ASSIGN(Pod pod, Serve(config));
  EXPECT_THAT(Addresses(pod), ElementsAre("10.77.0.2", "fd77::2"));
  for (const std::string& address : Addresses(pod)) EXPECT_EQ(Ask(address), "first\n") << address;
  EXPECT_EQ(Ask("127.0.0.1", "12010"), "first\n");
  EXPECT_EQ(Ask("10.77.0.1", "12010"), "first\n");
  ASSERT_OK_AND_ASSIGN(const FinishedContainer read,
                       pod.RunToEnd(MakeProbe("d", {"read", "/proc/sys/net/core/somaxconn"})));
  EXPECT_EQ(Joined(read.log, "stdout"), "77\n");

  // Pod to pod, by address and by the node's port.
  ASSERT_OK_AND_ASSIGN(Pod second, Pod::Run(cni(), MakePodConfig(Name("-second"))));
  ASSERT_OK_AND_ASSIGN(const std::string id, second.RunContainer(MakeProbe("c", {"sleep"})));
  for (const auto& [address, to_port] :
       {std::pair("10.77.0.2", "8080"), std::pair("fd77::2", "8080"),
        std::pair("10.77.0.1", "12010")}) {
    ASSERT_OK_AND_ASSIGN(const auto answer,
                         cni().Exec(id, {"/probe", "connect", address, to_port}));
    EXPECT_EQ(answer.stdout(), "first\n") << address << ": " << answer.stderr();
  }
  EXPECT_THAT(Pins(), SizeIs(2));
  ASSERT_OK(cni().StopPod(pod.id()));
  EXPECT_THAT(Leases(), ElementsAre("10.77.0.3", "fd77::3"));
  EXPECT_EQ(Shell("nft list ruleset 2>/dev/null | grep -c 12010"), "0\n");
}

TEST_F(CniTest, BandwidthOfAnnotationsIsSet) {
  if (!HasLimits()) GTEST_SKIP() << "the kernel has no tbf or no ifb";
  WriteNetwork(Json::array({Bridge({"10.77.0.0/28"}), Limits()}));
  ASSERT_NO_FATAL_FAILURE(StartNode());
  ASSERT_TRUE(WaitUntilReady());
  cri::PodSandboxConfig config = MakePodConfig(Name());
  (*config.mutable_annotations())["kubernetes.io/ingress-bandwidth"] = "8M";
  (*config.mutable_annotations())["kubernetes.io/egress-bandwidth"] = "4M";
  ASSERT_OK_AND_ASSIGN(const Pod pod, Pod::Run(cni(), config));
  const std::string limits = Shell("tc qdisc show");
  EXPECT_THAT(limits, HasSubstr("rate 8Mbit"));
  EXPECT_THAT(limits, HasSubstr("rate 4Mbit"));
  ASSERT_OK(cni().StopPod(pod.id()));
  EXPECT_EQ(Shell("tc qdisc show | grep -c tbf"), "0\n");
}

TEST_F(CniTest, WithoutAConfigurationTheNodeIsNotReadyAndOnlyHostNetworkPodsRun) {
  const std::string drop_ins = OptionsOfNode().dir + "/conf.d";
  std::filesystem::create_directories(drop_ins);
  std::ofstream(drop_ins + "/mode.toml") << "[network]\nmode = \"cni\"\n";
  ASSERT_NO_FATAL_FAILURE(StartNode());
  const cri::RuntimeCondition condition = NetworkCondition();
  EXPECT_FALSE(condition.status());
  EXPECT_EQ(condition.reason(), "NetworkPluginNotReady");
  EXPECT_THAT(condition.message(), HasSubstr("no CNI configuration in"));
  const auto refused = cni().RunPod(MakePodConfig(Name()));
  EXPECT_CODE(refused, kUnavailable);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("no CNI configuration in"));
  ASSERT_OK_AND_ASSIGN(const auto none, cni().ListPods());
  EXPECT_THAT(none, IsEmpty());
  cri::PodSandboxConfig host = MakePodConfig(Name("-host"));
  NamespaceOptions(host)->set_network(cri::NODE);
  {
    ASSERT_OK_AND_ASSIGN(const Pod pod, Pod::Run(cni(), host));
    ASSERT_OK_AND_ASSIGN(const auto status, cni().PodStatus(pod.id()));
    EXPECT_EQ(status.network().ip(), "");
  }
  WriteNetwork(Json::array({Recording()}));
  ASSERT_TRUE(WaitUntilReady());
  ASSERT_OK_AND_ASSIGN(const Pod pod, Pod::Run(cni(), MakePodConfig(Name())));
  EXPECT_THAT(Addresses(pod), ElementsAre("10.209.0.2"));
}

TEST_F(CniTest, PodsStayWithTheNetworkThatTheyBeganWith) {
  ASSERT_NO_FATAL_FAILURE(StartNode());
  EXPECT_TRUE(NetworkCondition().status());
  ASSERT_OK_AND_ASSIGN(const Pod built_in, Pod::Run(cni(), MakePodConfig(Name("-built-in"))));
  WriteNetwork(Json::array({Recording()}));
  ASSERT_TRUE(WaitUntilReady());
  ASSERT_OK_AND_ASSIGN(const Pod second, Pod::Run(cni(), MakePodConfig(Name())));
  EXPECT_THAT(Addresses(second), ElementsAre("10.209.0.2"));
  RemoveNetwork();
  ASSERT_TRUE(Eventually(absl::Seconds(60), [&] { return !Described().contains("network"); }));
  ASSERT_OK_AND_ASSIGN(const Pod third, Pod::Run(cni(), MakePodConfig(Name("-third"))));
  EXPECT_THAT(Addresses(third), SizeIs(2));
  ASSERT_NO_FATAL_FAILURE(KillAndStartAgain());
  EXPECT_THAT(Addresses(second), ElementsAre("10.209.0.2"));
  // By the configuration and the result that it was made with.
  ASSERT_OK(cni().StopPod(second.id()));
  const Json last = Calls().back();
  EXPECT_EQ(last["command"], "DEL");
  EXPECT_EQ(last["input"]["prevResult"]["ips"][0]["address"], "10.209.0.2/28");
  EXPECT_THAT(Leases(), IsEmpty());
}

TEST_F(CniTest, PluginThatFailsCrashesFloodsOrHangsLeavesNothing) {
  WriteNetwork(Json::array({Bridge(), Recording()}));
  ASSERT_NO_FATAL_FAILURE(StartNode("plugin_seconds = \"5\"\n"));
  ASSERT_TRUE(WaitUntilReady());
  for (const char* mode : {"fail", "late", "crash", "flood", "garbage", "hang"}) {
    Misbehave(absl::StrCat("ADD ", mode));
    const auto refused = cni().RunPod(MakePodConfig(Name(absl::StrCat("-", mode))));
    EXPECT_FALSE(refused.ok()) << mode;
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr("recording")) << mode;
    ASSERT_OK_AND_ASSIGN(const auto pods, cni().ListPods());
    EXPECT_THAT(pods, IsEmpty()) << mode;
    // One that hung is taken back in the background.
    EXPECT_TRUE(Eventually(absl::Seconds(60), [&] { return Leases().empty() && Pins().empty(); }))
        << mode;
    EXPECT_EQ(Shell("ip -o link show type veth | grep -c veth"), "0\n") << mode;
  }
}

TEST_F(CniTest, StatusIsAnsweredWhileAPluginHangs) {
  WriteNetwork(Json::array({Recording()}), "1.1.0");
  Misbehave("STATUS hang");
  ASSERT_NO_FATAL_FAILURE(StartNode("plugin_seconds = \"30\"\n"));
  ASSERT_TRUE(Eventually(absl::Seconds(60), [&] { return !Calls().empty(); }));
  const cri::RuntimeCondition condition = NetworkCondition();
  EXPECT_FALSE(condition.status());
  EXPECT_THAT(condition.message(), HasSubstr("not told their status yet"));
}

TEST_F(CniTest, RemovalWithAPluginMissingIsFinishedWhenItIsThereAgain) {
  WriteNetwork(Json::array({Bridge(), Recording()}));
  ASSERT_NO_FATAL_FAILURE(StartNode());
  ASSERT_TRUE(WaitUntilReady());
  ASSERT_OK_AND_ASSIGN(const std::string id, cni().RunPod(MakePodConfig(Name())));
  const std::string plugin = directory() + "/plugins/recording";
  std::filesystem::rename(plugin, plugin + ".away");
  ASSERT_OK(cni().RemovePod(id));
  // What the other plugin gave is back, the whole is not forgotten, also by the next daemon.
  EXPECT_THAT(Leases(), ElementsAre("10.209.0.2"));
  EXPECT_THAT(Pins(), IsEmpty());
  ASSERT_NO_FATAL_FAILURE(KillAndStartAgain());
  ASSERT_TRUE(Eventually(absl::Seconds(60), [&] {
    return absl::StrContains(Described()["failing"].dump(), "is not in");
  }));
  std::filesystem::rename(plugin + ".away", plugin);
  EXPECT_TRUE(Eventually(absl::Seconds(60), [&] { return Leases().empty(); }));
}

TEST_F(CniTest, RebootGivesBackWhatIsOnDisk) {
  WriteNetwork(Json::array({Bridge()}));
  ASSERT_NO_FATAL_FAILURE(StartNode());
  ASSERT_TRUE(WaitUntilReady());
  ASSERT_OK_AND_ASSIGN(const Pod pod, Pod::Run(cni(), MakePodConfig(Name())));
  EXPECT_THAT(Leases(), SizeIs(2));
  ASSERT_NO_FATAL_FAILURE(Reboot());
  EXPECT_TRUE(Eventually(absl::Seconds(60), [&] { return Leases().empty(); }));
  ASSERT_OK_AND_ASSIGN(const auto status, cni().PodStatus(pod.id()));
  EXPECT_EQ(status.state(), cri::SANDBOX_NOTREADY);
}

// All that is left of it is what its pod's directory tells.
TEST_F(CniTest, I_32_NetworkOfAPodIsGivenBackThoughTheDatabaseWasLost) {
  WriteNetwork(Json::array({Bridge(), Portmap(), Recording()}));
  ASSERT_NO_FATAL_FAILURE(StartNode());
  ASSERT_TRUE(WaitUntilReady());
  cri::PodSandboxConfig config = MakePodConfig(Name());
  cri::PortMapping* port = config.add_port_mappings();
  port->set_host_port(12011);
  port->set_container_port(8080);
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(cni(), config));
  const std::vector<std::string> addresses = Addresses(pod);
  EXPECT_THAT(Leases(), SizeIs(3));
  ASSERT_OK(daemon().Kill());
  for (const char* suffix : {"", "-wal", "-shm"})
    std::filesystem::remove(daemon().options().dir + "/data/berth.db" + suffix);
  // Another network, which the pod does not belong to.
  WriteNetwork(Json::array({Bridge({"10.78.0.0/28"})}));
  ASSERT_OK(daemon().StartAgain());
  ReconnectNode();
  ASSERT_TRUE(WaitUntilReady());
  EXPECT_EQ(Addresses(pod), addresses);
  EXPECT_THAT(Leases(), SizeIs(3));
  ASSERT_OK(cni().StopPod(pod.id()));
  EXPECT_THAT(Leases(), IsEmpty());
  EXPECT_THAT(Pins(), IsEmpty());
  EXPECT_EQ(Shell("nft list ruleset 2>/dev/null | grep -c 12011"), "0\n");
  Json added, removed;
  for (const Json& call : Calls()) {
    if (call["command"] == "ADD") added = call;
    if (call["command"] == "DEL") removed = call;
  }
  for (const char* member : {"container", "netns", "args"})
    EXPECT_EQ(removed[member], added[member]) << member;
  ASSERT_TRUE(removed["input"].contains("prevResult")) << removed;
  std::vector<std::string> told;
  for (const Json& ip : removed["input"]["prevResult"]["ips"])
    told.push_back(ip["address"].get<std::string>());
  for (const std::string& address : addresses)
    EXPECT_THAT(told, Contains(StartsWith(address + "/")));
  ASSERT_OK(cni().RemovePod(pod.id()));
}

TEST_F(CniTest, PodCidrFillsTheTemplate) {
  const std::string path = directory() + "/template";
  std::ofstream(path) << R"({"name": "test", "cniVersion": "1.0.0", "plugins": [{"type": "bridge",
      "bridge": "cnibr0", "isGateway": true, "ipam": {"type": "host-local", "dataDir": ")"
                      << directory() << R"(/leases", "ranges": {{.PodCIDRRanges}},
      "routes": {{.Routes}}}}]})";
  ASSERT_NO_FATAL_FAILURE(StartNode(absl::StrCat("conf_template = \"", path, "\"\n")));
  cri::UpdateRuntimeConfigRequest request;
  request.mutable_runtime_config()->mutable_network_config()->set_pod_cidr(
      "10.79.0.0/24,fd79::/64");
  ASSERT_OK(cni().Call(&Runtime::UpdateRuntimeConfig, request));
  ASSERT_TRUE(WaitUntilReady());
  ASSERT_OK_AND_ASSIGN(const Pod pod, Pod::Run(cni(), MakePodConfig(Name())));
  EXPECT_THAT(Addresses(pod), ElementsAre("10.79.0.2", "fd79::2"));
}

TEST_F(CniTest, PodOfAUserNamespaceHasANetworkOfPlugins) {
  WriteNetwork(Json::array({Bridge()}));
  ASSERT_NO_FATAL_FAILURE(StartNode());
  ASSERT_TRUE(WaitUntilReady());
  cri::PodSandboxConfig config = MakePodConfig(Name());
  config.set_hostname("users");
  auto* options = NamespaceOptions(config)->mutable_userns_options();
  options->set_mode(cri::POD);
  for (auto* map : {options->add_uids(), options->add_gids()}) {
    map->set_host_id(200000);
    map->set_length(65536);
  }
  ASSERT_OK_AND_ASSIGN(const Pod pod, Serve(config));
  for (const std::string& address : Addresses(pod)) EXPECT_EQ(Ask(address), "users\n") << address;
}

// None to be had, of one kind or the other: what is written there is looked at now and then.
class CniWithoutInotifyTest : public CniFixture, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    if (!KernelIsOwn()) GTEST_SKIP() << "needs a kernel whose limits may be set: hack/cgroup2";
    CniFixture::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    std::ifstream(Limit()) >> before_;
    std::ofstream(Limit()) << 0;
  }
  void TearDown() override {
    if (!before_.empty()) std::ofstream(Limit()) << before_;
    CniFixture::TearDown();
  }
  static std::string Limit() { return absl::StrCat("/proc/sys/fs/inotify/", GetParam()); }

 private:
  std::string before_;
};

TEST_P(CniWithoutInotifyTest, I_27_NetworksAreFoundAndPodsLiveAndGo) {
  ASSERT_NO_FATAL_FAILURE(StartNode());
  EXPECT_FALSE(Described().contains("network"));
  WriteNetwork(Json::array({Recording()}));
  ASSERT_TRUE(WaitUntilReady());
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(cni(), MakePodConfig(Name())));
  EXPECT_THAT(Leases(), SizeIs(1));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"exit", "7"})));
  ASSERT_OK(cni().WaitExit(id));
  RemoveNetwork();
  ASSERT_TRUE(Eventually(absl::Seconds(60), [&] { return !Described().contains("network"); }));
  EXPECT_OK(cni().Stop(id, 30));
  ASSERT_OK_AND_ASSIGN(const auto exit, cni().ContainerStatus(id));
  EXPECT_EQ(exit.exit_code(), 7);
  EXPECT_OK(cni().StopPod(pod.id()));
  EXPECT_THAT(Leases(), IsEmpty());
  EXPECT_OK(cni().RemovePod(pod.id()));
  EXPECT_THAT(daemon().Log(), HasSubstr("are looked at every five seconds"));
}

INSTANTIATE_TEST_SUITE_P(, CniWithoutInotifyTest,
                         testing::Values("max_user_instances", "max_user_watches"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace berth::e2e
