// The built-in bridge network, from outside and from inside pods.
#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/own_node.h"
#include "test/e2e/text_file.h"

namespace berth::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class NetworkTest : public E2eTest {
 protected:
  // A pod with a server on port 8080 that answers with the pod's hostname.
  absl::StatusOr<Pod> Serve(const std::string& name) {
    return Serve(name, MakePodConfig(Name("-" + name)));
  }
  absl::StatusOr<Pod> Serve(const std::string& name, cri::PodSandboxConfig config) {
    config.set_hostname(name);
    auto pod = Pod::Run(client(), config);
    if (!pod.ok()) return pod;
    if (const auto id = pod->RunContainer(MakeProbe("c", {"serve", "8080"})); !id.ok())
      return id.status();
    const bool ready = Eventually(absl::Seconds(30), [&] {
      const auto log = ReadLog(pod->LogPath("c"));
      return log.ok() && Joined(*log, "stdout") == "ready\n";
    });
    if (!ready) return absl::DeadlineExceededError("the server does not get ready");
    return pod;
  }
  std::vector<std::string> Addresses(const Pod& pod) {
    const auto status = client().PodStatus(pod.id());
    EXPECT_OK(status);
    return {status->network().ip(), status->network().additional_ips(0).ip()};
  }
  // What a program in the node's network gets from address:8080.
  std::string Ask(const std::string& address, const std::string& port = "8080",
                  const std::string& mode = "connect") {
    const std::string out = NodeDir() + "/answer-" + Name();
    unlink(out.c_str());
    auto process =
        Subprocess::Start({.argv = {BERTH_E2E_PROBE, mode, address, port}, .output_path = out});
    EXPECT_OK(process);
    EXPECT_EQ(process->Wait(absl::Seconds(30)).value_or(-1), 0) << process->Output();
    return process->Output();
  }
  // Whether this kernel's packet filter can do NAT for both families; else host ports are refused.
  static bool HasNat() {
    auto nft =
        Subprocess::Start({.argv = {"/usr/sbin/nft", "list", "table", "inet", "berth-berth1"},
                           .output_path = NodeDir() + "/nft"});
    return nft.ok() && nft->Wait(absl::Seconds(30)).value_or(-1) == 0;
  }
  static void AddPort(cri::PodSandboxConfig& config, cri::Protocol protocol, int host_port,
                      const std::string& host_ip = "") {
    cri::PortMapping* port = config.add_port_mappings();
    port->set_protocol(protocol);
    port->set_host_port(host_port);
    port->set_container_port(8080);
    port->set_host_ip(host_ip);
  }
};

TEST_F(NetworkTest, PodHasTheAddressesThatItsStatusTells) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const Json report, pod.RunForJson(MakeProbe("c", {"report"})));
  std::set<std::string> eth0, lo, names;
  for (const Json& interface : report["interfaces"]) {
    names.insert(interface["name"].get<std::string>());
    if (interface["name"] == "eth0") eth0.insert(interface["address"].get<std::string>());
    if (interface["name"] == "lo") lo.insert(interface["address"].get<std::string>());
    EXPECT_EQ(interface["up"], true) << interface;
  }
  EXPECT_EQ(names, (std::set<std::string>{"eth0", "lo"}));
  for (const std::string& address : Addresses(pod)) EXPECT_TRUE(eth0.contains(address)) << address;
  EXPECT_TRUE(lo.contains("127.0.0.1"));
  EXPECT_TRUE(lo.contains("::1"));
  EXPECT_THAT(report["routes4"].get<std::string>(), HasSubstr("eth0\t00000000"));
  EXPECT_THAT(
      report["routes6"].get<std::string>(),
      HasSubstr("00000000000000000000000000000000 00 00000000000000000000000000000000 00 "));
}

TEST_F(NetworkTest, NodeReachesThePodOnBothFamilies) {
  ASSERT_OK_AND_ASSIGN(const Pod pod, Serve("first"));
  for (const std::string& address : Addresses(pod)) EXPECT_EQ(Ask(address), "first\n") << address;
}

TEST_F(NetworkTest, PodsReachEachOther) {
  ASSERT_OK_AND_ASSIGN(Pod first, Serve("first"));
  ASSERT_OK_AND_ASSIGN(Pod second, Pod::Run(client(), MakePodConfig(Name("-second"))));
  ASSERT_OK_AND_ASSIGN(const std::string id, second.RunContainer(MakeProbe("c", {"sleep"})));
  for (const std::string& address : Addresses(first)) {
    ASSERT_OK_AND_ASSIGN(const auto answer,
                         client().Exec(id, {"/probe", "connect", address, "8080"}));
    EXPECT_EQ(answer.stdout(), "first\n") << address << ": " << answer.stderr();
  }
}

TEST_F(NetworkTest, ContainersOfAPodShareLocalhost) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Serve("shared"));
  ASSERT_OK_AND_ASSIGN(const FinishedContainer other,
                       pod.RunToEnd(MakeProbe("d", {"connect", "127.0.0.1", "8080"})));
  EXPECT_EQ(Joined(other.log, "stdout"), "shared\n");
}

TEST_F(NetworkTest, OwnNetworkIsNotTheNodes) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const FinishedContainer other,
                       pod.RunToEnd(MakeProbe("c", {"connect", "127.0.0.1", "8080"})));
  EXPECT_NE(other.status.exit_code(), 0);
}

TEST_F(NetworkTest, UnprivilegedPortsStartAtZero) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const Json report, pod.RunForJson(MakeProbe("c", {"report"})));
  EXPECT_EQ(report["files"]["/proc/sys/net/ipv4/ip_unprivileged_port_start"], "0\n");
}

TEST_F(NetworkTest, HostPortsLeadToThePodFromTheNodeAndFromPods) {
  if (!HasNat()) GTEST_SKIP() << "needs nf_tables with inet NAT";
  cri::PodSandboxConfig config = MakePodConfig(Name());
  AddPort(config, cri::TCP, 12000);
  AddPort(config, cri::UDP, 12000);
  AddPort(config, cri::TCP, 0);  // informs only
  ASSERT_OK_AND_ASSIGN(Pod pod, Serve("published", config));
  for (const char* address : {"127.0.0.1", "10.201.1.1", "fd20:1::1"}) {
    EXPECT_EQ(Ask(address, "12000"), "published\n") << address;
    EXPECT_EQ(Ask(address, "12000", "ask"), "published\n") << address;
  }
  ASSERT_OK_AND_ASSIGN(Pod other, Pod::Run(client(), MakePodConfig(Name("-other"))));
  ASSERT_OK_AND_ASSIGN(const std::string outside, other.RunContainer(MakeProbe("c", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const std::string inside, pod.RunContainer(MakeProbe("d", {"sleep"})));
  for (const std::string& container : {outside, inside}) {
    for (const char* mode : {"connect", "ask"}) {
      ASSERT_OK_AND_ASSIGN(const auto answer,
                           client().Exec(container, {"/probe", mode, "10.201.1.1", "12000"}));
      EXPECT_EQ(answer.stdout(), "published\n") << mode << ": " << answer.stderr();
    }
  }
}

TEST_F(NetworkTest, HostPortThatIsTakenIsRefusedAndComesBack) {
  if (!HasNat()) GTEST_SKIP() << "needs nf_tables with inet NAT";
  cri::PodSandboxConfig config = MakePodConfig(Name()), second = MakePodConfig(Name("-second"));
  AddPort(config, cri::TCP, 12001);
  AddPort(second, cri::TCP, 12001);
  {
    ASSERT_OK_AND_ASSIGN(const Pod pod, Pod::Run(client(), config));
    const auto refused = client().RunPod(second);
    EXPECT_CODE(refused, kFailedPrecondition);
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr("12001/tcp: pod " + pod.id()));
    ASSERT_OK_AND_ASSIGN(const auto pods, client().ListPods());
    EXPECT_EQ(pods.size(), 1u);
    // A stopped pod has no ports.
    ASSERT_OK(client().StopPod(pod.id()));
    ASSERT_OK_AND_ASSIGN(const Pod next, Pod::Run(client(), second));
  }
}

TEST_F(NetworkTest, HostPortsOutliveTheDaemonAndItsKill) {
  if (!HasNat()) GTEST_SKIP() << "needs nf_tables with inet NAT";
  cri::PodSandboxConfig config = MakePodConfig(Name());
  AddPort(config, cri::TCP, 12002);
  ASSERT_OK_AND_ASSIGN(const Pod pod, Serve("lasting", config));
  ASSERT_OK(node().daemon().Kill());
  EXPECT_EQ(Ask("127.0.0.1", "12002"), "lasting\n");
  ASSERT_OK(node().daemon().StartAgain());
  node().Reconnect();
  EXPECT_EQ(Ask("127.0.0.1", "12002"), "lasting\n");
  cri::PodSandboxConfig second = MakePodConfig(Name("-second"));
  AddPort(second, cri::TCP, 12002);
  EXPECT_CODE(client().RunPod(second), kFailedPrecondition);
}

TEST_F(NetworkTest, HostPortsComeBackAfterAFirewallReload) {
  if (!HasNat()) GTEST_SKIP() << "needs nf_tables with inet NAT";
  cri::PodSandboxConfig config = MakePodConfig(Name());
  AddPort(config, cri::TCP, 12003);
  ASSERT_OK_AND_ASSIGN(const Pod pod, Serve("mended", config));
  ASSERT_OK_AND_ASSIGN(auto nft,
                       Subprocess::Start({.argv = {"/usr/sbin/nft", "flush", "ruleset"}}));
  ASSERT_EQ(nft.Wait(absl::Seconds(30)).value_or(-1), 0);
  EXPECT_TRUE(Eventually(absl::Seconds(20), [&] {
    auto probe = Subprocess::Start({.argv = {BERTH_E2E_PROBE, "connect", "127.0.0.1", "12003"},
                                    .output_path = NodeDir() + "/mended"});
    return probe.ok() && probe->Wait(absl::Seconds(30)).value_or(-1) == 0 &&
           probe->Output() == "mended\n";
  }));
}

TEST_F(NetworkTest, PodOfAUserNamespaceHasHostPortsToo) {
  if (!HasNat()) GTEST_SKIP() << "needs nf_tables with inet NAT";
  cri::PodSandboxConfig config = MakePodConfig(Name());
  auto* options = NamespaceOptions(config)->mutable_userns_options();
  options->set_mode(cri::POD);
  for (auto* map : {options->add_uids(), options->add_gids()}) {
    map->set_host_id(200000);
    map->set_length(65536);
  }
  AddPort(config, cri::TCP, 12004);
  ASSERT_OK_AND_ASSIGN(const Pod pod, Pod::Run(client(), config));
  ASSERT_OK_AND_ASSIGN(const auto status, client().PodStatus(pod.id()));
  EXPECT_EQ(status.network().additional_ips_size(), 1);
}

TEST_F(NetworkTest, SettingsOfThePodsInterfaceAndOfThoseToComeAreHonoured) {
  const struct {
    const char *name, *path;
  } settings[] = {{"net.ipv4.conf.eth0.rp_filter", "/proc/sys/net/ipv4/conf/eth0/rp_filter"},
                  {"net.ipv4.conf.default.rp_filter", "/proc/sys/net/ipv4/conf/eth0/rp_filter"},
                  {"net.core.somaxconn", "/proc/sys/net/core/somaxconn"}};
  for (const auto& setting : settings) {
    cri::PodSandboxConfig config = MakePodConfig(Name(absl::StrCat("-", setting.name)));
    (*config.mutable_linux()->mutable_sysctls())[setting.name] = "2";
    ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), config));
    ASSERT_OK_AND_ASSIGN(const FinishedContainer read,
                         pod.RunToEnd(MakeProbe("c", {"read", setting.path})));
    EXPECT_EQ(Joined(read.log, "stdout"), "2\n") << setting.name;
  }
}

TEST_F(NetworkTest, PodsIgnoreRouterAdvertisements) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(
      const FinishedContainer read,
      pod.RunToEnd(MakeProbe("c", {"read", "/proc/sys/net/ipv6/conf/eth0/accept_ra"})));
  EXPECT_EQ(Joined(read.log, "stdout"), "0\n");
}

TEST_F(NetworkTest, BandwidthOfAnAnnotationIsSetOrRefused) {
  cri::PodSandboxConfig config = MakePodConfig(Name());
  (*config.mutable_annotations())["kubernetes.io/egress-bandwidth"] = "8M";
  const auto limited = client().RunPod(config);
  if (!limited.ok()) {
    EXPECT_CODE(limited, kFailedPrecondition);
    EXPECT_THAT(std::string(limited.status().message()), HasSubstr("the kernel cannot"));
  } else {
    EXPECT_OK(client().RemovePod(*limited));
  }
  (*config.mutable_annotations())["kubernetes.io/egress-bandwidth"] = "plenty";
  EXPECT_CODE(client().RunPod(config), kInvalidArgument);
}

TEST_F(NetworkTest, NetworksThatAreReadyOutliveNoKill) {
  ASSERT_OK(Pod::Run(client(), MakePodConfig(Name())));
  for (int round = 0; round < 5; ++round) {
    // In the middle of the making of the next one: a pod has just taken one.
    ASSERT_OK_AND_ASSIGN(const std::string id,
                         client().RunPod(MakePodConfig(Name(absl::StrCat("-", round)))));
    ASSERT_OK(node().daemon().Kill());
    ASSERT_OK(node().daemon().StartAgain());
    node().Reconnect();
    EXPECT_OK(client().RemovePod(id));
  }
  // The pool begins with a pod; the leak oracle compares what is there afterwards.
  ASSERT_OK_AND_ASSIGN(const std::string last, client().RunPod(MakePodConfig(Name("-last"))));
  EXPECT_OK(client().RemovePod(last));
}

// Many pods start and stop, several at a time: the leak oracle around the test counts interfaces,
// routes of the node, rules, namespaces, rows and descriptors before and after. Long form:
// BERTH_E2E_STORM_PODS=500.
TEST_F(NetworkTest, ManyPodsLeaveNothing) {
  const char* wanted = getenv("BERTH_E2E_STORM_PODS");
  const int pods = wanted != nullptr ? atoi(wanted) : 60;
  constexpr int kAtATime = 6;
  const auto routes = [] { return ContentOf("/proc/net/route"); };
  const std::string before = routes();
  const bool nat = HasNat();
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kAtATime; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = thread; i < pods; i += kAtATime) {
        cri::PodSandboxConfig config = MakePodConfig(Name(absl::StrCat("-", i)));
        if (nat && i % 3 == 0) AddPort(config, cri::TCP, 20000 + i);
        if (nat && i % 5 == 0) AddPort(config, cri::UDP, 20000 + i);
        const auto id = client().RunPod(config);
        EXPECT_OK(id);
        if (!id.ok()) continue;
        if (i % 2 == 0) {
          EXPECT_OK(client().StopPod(*id));
        }
        EXPECT_OK(client().RemovePod(*id));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(routes(), before);
}

// A daemon of its own whose pods do not reach each other.
TEST_F(NetworkTest, IsolatedPodsReachTheNodeOnly) {
  if (!HasNat()) GTEST_SKIP() << "needs nf_tables with inet NAT";
  const std::string drop_ins = Node::OptionsFor("isolated", 2).dir + "/conf.d";
  std::filesystem::create_directories(drop_ins);
  std::ofstream(drop_ins + "/isolated.toml") << "[network]\nisolate_pods = \"true\"\n";
  ASSERT_OK_AND_ASSIGN(OwnNode own, OwnNode::Start("isolated", ""));
  cri::PodSandboxConfig config = MakePodConfig(Name("-first"));
  config.set_hostname("first");
  ASSERT_OK_AND_ASSIGN(Pod first, Pod::Run(own.client(), config));
  ASSERT_OK(first.RunContainer(MakeProbe("c", {"serve", "8080"})));
  ASSERT_TRUE(Eventually(absl::Seconds(30), [&] {
    const auto log = ReadLog(first.LogPath("c"));
    return log.ok() && Joined(*log, "stdout") == "ready\n";
  }));
  ASSERT_OK_AND_ASSIGN(const auto status, own.client().PodStatus(first.id()));
  EXPECT_EQ(Ask(status.network().ip()), "first\n");
  ASSERT_OK_AND_ASSIGN(Pod second, Pod::Run(own.client(), MakePodConfig(Name("-second"))));
  ASSERT_OK_AND_ASSIGN(const std::string id, second.RunContainer(MakeProbe("c", {"sleep"})));
  for (const std::string& address :
       {status.network().ip(), status.network().additional_ips(0).ip()}) {
    ASSERT_OK_AND_ASSIGN(const auto answer,
                         own.client().Exec(id, {"/probe", "ask", address, "8080"}));
    EXPECT_NE(answer.exit_code(), 0) << address << ": " << answer.stdout();
  }
}

// A daemon of its own with a pool of 13 addresses.
class SmallPoolTest : public E2eTest {
 protected:
  static Daemon::Options SmallPool() {
    Daemon::Options options = Node::OptionsFor("small", 2);
    options.ipv4_subnet = "10.202.0.0/28";
    options.ipv6_subnet = "fd20:2::/124";
    return options;
  }
  // A pod once there is an address for it: one that was just given back may still be on its way.
  static absl::StatusOr<std::string> RunPatiently(Client& client, const std::string& name) {
    absl::StatusOr<std::string> id;
    Eventually(absl::Seconds(20), [&] {
      id = client.RunPod(MakePodConfig(name));
      return id.status().code() != absl::StatusCode::kResourceExhausted;
    });
    return id;
  }
};

TEST_F(SmallPoolTest, FullPoolIsExhaustedAndGivesBackWhatIsReturned) {
  ASSERT_OK_AND_ASSIGN(Daemon daemon, Daemon::Start(SmallPool()));
  Client small(daemon.socket());
  std::vector<std::string> ids;
  absl::StatusOr<std::string> id;
  for (int i = 0; i < 16; ++i) {
    id = small.RunPod(MakePodConfig(absl::StrCat("pool-", i)));
    if (!id.ok()) break;
    ids.push_back(*id);
  }
  EXPECT_CODE(id, kResourceExhausted);
  EXPECT_GE(ids.size(), 12u);
  EXPECT_LE(ids.size(), 14u);
  ASSERT_OK(small.RemovePod(ids.back()));
  ids.pop_back();
  ASSERT_OK_AND_ASSIGN(const std::string again, RunPatiently(small, "again"));
  ids.push_back(again);
  for (const std::string& each : ids) EXPECT_OK(small.RemovePod(each));
  EXPECT_OK(daemon.Terminate());
  RemoveTraces(daemon);
}

TEST_F(SmallPoolTest, AddressesComeBackAfterAKill) {
  ASSERT_OK_AND_ASSIGN(Daemon daemon, Daemon::Start(SmallPool()));
  for (int round = 0; round < 3; ++round) {
    Client small(daemon.socket());
    std::vector<std::string> ids;
    for (int i = 0; i < 8; ++i) {
      ASSERT_OK_AND_ASSIGN(const std::string id,
                           RunPatiently(small, absl::StrCat("kill-", round, "-", i)));
      ids.push_back(id);
    }
    ASSERT_OK(daemon.Kill());
    ASSERT_OK(daemon.StartAgain());
    Client after(daemon.socket());
    for (const std::string& id : ids) EXPECT_OK(after.RemovePod(id));
  }
  EXPECT_OK(daemon.Terminate());
  RemoveTraces(daemon);
}

}  // namespace
}  // namespace berth::e2e
