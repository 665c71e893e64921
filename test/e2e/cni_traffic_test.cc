// What goes through the networks of Debian's CNI plugins: between pods, the node, and a namespace
// that plays the outside world, by TCP and UDP, by IPv4 and IPv6.
#include <gmock/gmock.h>

#include <functional>

#include "absl/strings/str_cat.h"
#include "test/e2e/cni_fixture.h"

namespace berth::e2e {
namespace {

using ::testing::SizeIs;

constexpr absl::Duration kPatience = absl::Seconds(60);
constexpr char kServerPort[] = "9090", kHostPort[] = "12010";

// Somebody to be reached, and the name that answers there.
struct End {
  std::string address, port, name;
};

// The outside world has the node's uplink as a neighbour and no route: an answer of it finds its
// way back only to the node's own address.
class CniTrafficTest : public CniFixture {
 protected:
  using Ask = std::function<std::string(const std::vector<std::string>& question)>;

  void SetUp() override {
    CniFixture::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    ASSERT_OK_AND_ASSIGN(node_, StartServer("node", {}));
    ASSERT_OK_AND_ASSIGN(outside_, StartServer("outside", {"--net"}));
    Shell(absl::StrCat("ip link add cnihost0 type veth peer name cnihost1 netns ", outside_.pid(),
                       "; ip addr add 192.0.2.1/24 dev cnihost0; ip link set cnihost0 up; "
                       "ip addr add 2001:db8::1/64 dev cnihost0 nodad"));
    ShellOutside(
        "ip addr add 192.0.2.2/24 dev cnihost1; ip link set lo up; ip link set cnihost1 up; "
        "ip addr add 2001:db8::2/64 dev cnihost1 nodad");
  }

  void TearDown() override {
    outside_ = Subprocess();
    node_ = Subprocess();
    CniFixture::TearDown();
  }

  absl::StatusOr<Pod> ServeAs(const std::string& name, cri::PodSandboxConfig config) {
    config.set_hostname(name);
    return Serve(config);
  }
  absl::StatusOr<Pod> ServeAs(const std::string& name) {
    return ServeAs(name, MakePodConfig(Name("-" + name)));
  }

  void ShellOutside(const std::string& command) {
    Shell(absl::StrCat("nsenter -t ", outside_.pid(), " -n /bin/sh -c '", command, "'"));
  }

  Ask FromNode() {
    return [this](const std::vector<std::string>& question) { return AskWith({}, question); };
  }
  Ask FromOutside() {
    return [this](const std::vector<std::string>& question) {
      return AskWith({"/usr/bin/nsenter", "-t", absl::StrCat(outside_.pid()), "-n"}, question);
    };
  }
  absl::StatusOr<Ask> From(Pod& pod) {
    const auto container = pod.RunContainer(MakeProbe("asks", {"sleep"}));
    if (!container.ok()) return container.status();
    return [this, id = *container](const std::vector<std::string>& question) {
      std::vector<std::string> argv = {"/probe"};
      argv.insert(argv.end(), question.begin(), question.end());
      const auto answer = cni().Exec(id, argv);
      EXPECT_OK(answer);
      return answer.ok() ? answer->stdout() + answer->stderr() : "";
    };
  }

  // An address that was just given may still be looked for on its link.
  static void ExpectReaches(const std::string& from, const Ask& ask, const std::vector<End>& ends) {
    for (const End& end : ends) {
      for (const char* mode : {"connect", "ask"}) {  // TCP, UDP
        std::string answer;
        Eventually(absl::Seconds(20), [&] {
          answer = ask({mode, end.address, end.port});
          return answer == end.name + "\n";
        });
        EXPECT_EQ(answer, end.name + "\n") << from << ": " << mode << " " << end.address;
      }
    }
  }

  std::vector<End> Servers(const Pod& pod, const std::string& name) {
    std::vector<End> ends;
    for (const std::string& address : Addresses(pod)) ends.push_back({address, "8080", name});
    return ends;
  }

  // `plugin` gives the pods subnets of their own behind the node, which is there by `gateways`.
  void ExpectTrafficBehindTheNode(const Json& plugin, const std::vector<std::string>& gateways);
  // `plugin` makes so many pods neighbours of the outside world's link "beside".
  void ExpectTrafficBesideTheNode(const Json& plugin, int pods);

 private:
  // Answers with `name` on kServerPort.
  absl::StatusOr<Subprocess> StartServer(const std::string& name,
                                         const std::vector<std::string>& namespaces) {
    std::vector<std::string> argv = {"/usr/bin/unshare", "--uts"};
    argv.insert(argv.end(), namespaces.begin(), namespaces.end());
    argv.insert(argv.end(), {"/bin/sh", "-c",
                             absl::StrCat("echo ", name, " >/proc/sys/kernel/hostname; exec ",
                                          BERTH_E2E_PROBE, " serve ", kServerPort)});
    const std::string out = absl::StrCat(directory(), "/", name);
    auto server = Subprocess::Start({.argv = argv, .output_path = out});
    if (server.ok() && !Eventually(kPatience, [&] { return server->Output() == "ready\n"; }))
      return absl::DeadlineExceededError(server->Output());
    return server;
  }

  std::string AskWith(std::vector<std::string> argv, const std::vector<std::string>& question) {
    argv.push_back(BERTH_E2E_PROBE);
    argv.insert(argv.end(), question.begin(), question.end());
    const std::string out = directory() + "/answer";
    unlink(out.c_str());
    auto process = Subprocess::Start({.argv = argv, .output_path = out});
    EXPECT_OK(process);
    EXPECT_TRUE(process->Wait(kPatience).has_value());
    return process->Output();
  }

  Subprocess node_, outside_;
};

void CniTrafficTest::ExpectTrafficBehindTheNode(const Json& plugin,
                                                const std::vector<std::string>& gateways) {
  WriteNetwork(
      Json::array({plugin, Portmap(), {{"type", "tuning"}, {"sysctl", Json::object()}}, Limits()}));
  ASSERT_NO_FATAL_FAILURE(StartNode());
  ASSERT_TRUE(WaitUntilReady());
  cri::PodSandboxConfig config = MakePodConfig(Name("-first"));
  for (const cri::Protocol protocol : {cri::TCP, cri::UDP}) {
    cri::PortMapping* port = config.add_port_mappings();
    port->set_protocol(protocol);
    port->set_host_port(12010);
    port->set_container_port(8080);
  }
  if (HasLimits()) (*config.mutable_annotations())["kubernetes.io/ingress-bandwidth"] = "100M";
  ASSERT_OK_AND_ASSIGN(Pod first, ServeAs("first", config));
  ASSERT_OK_AND_ASSIGN(Pod second, ServeAs("second"));
  ASSERT_OK_AND_ASSIGN(const Ask from_first, From(first));
  ASSERT_OK_AND_ASSIGN(const Ask from_second, From(second));
  ASSERT_THAT(Addresses(first), SizeIs(2));

  const std::vector<End> published = {{"192.0.2.1", kHostPort, "first"},
                                      {"2001:db8::1", kHostPort, "first"}};
  std::vector<End> node;
  for (const std::string& gateway : gateways) node.push_back({gateway, kServerPort, "node"});
  const std::vector<End> outside = {{"192.0.2.2", kServerPort, "outside"},
                                    {"2001:db8::2", kServerPort, "outside"}};
  ExpectReaches("node to pod", FromNode(), Servers(first, "first"));
  ExpectReaches("pod to pod", from_second, Servers(first, "first"));
  ExpectReaches("pod to pod", from_first, Servers(second, "second"));
  ExpectReaches("pod to node", from_first, node);
  ExpectReaches("pod to outside", from_first, outside);
  ExpectReaches("pod to outside", from_second, outside);
  ExpectReaches("node to host port", FromNode(), published);
  ExpectReaches("node to host port", FromNode(), {{"127.0.0.1", kHostPort, "first"}});
  ExpectReaches("other pod to host port", from_second, published);
  ExpectReaches("same pod to host port", from_first, published);
  ExpectReaches("outside to host port", FromOutside(), published);
  ASSERT_OK(cni().StopPod(first.id()));
  for (const End& end : published) {
    EXPECT_NE(FromOutside()({"connect", end.address, end.port}), "first\n") << end.address;
  }
}

TEST_F(CniTrafficTest, BehindABridge) {
  ASSERT_NO_FATAL_FAILURE(ExpectTrafficBehindTheNode(Bridge(), {"10.77.0.1", "fd77::1"}));
}

TEST_F(CniTrafficTest, BehindPointToPointLinks) {
  ASSERT_NO_FATAL_FAILURE(ExpectTrafficBehindTheNode(
      {{"type", "ptp"}, {"ipMasq", true}, {"ipam", Ipam({"10.78.0.0/28", "fd78::/64"})}},
      {"10.78.0.1", "fd78::1"}));
}

void CniTrafficTest::ExpectTrafficBesideTheNode(const Json& plugin, int pods) {
  ShellOutside(
      "ip link set beside up; ip addr add 10.78.0.14/28 dev beside; ip addr add fd78::e/64 dev "
      "beside nodad");
  WriteNetwork(Json::array({plugin}));
  ASSERT_NO_FATAL_FAILURE(StartNode());
  ASSERT_TRUE(WaitUntilReady());
  const std::vector<End> outside = {{"10.78.0.14", kServerPort, "outside"},
                                    {"fd78::e", kServerPort, "outside"}};
  std::vector<Pod> running;
  for (int i = 0; i < pods; ++i) {
    const std::string name = absl::StrCat("pod", i);
    ASSERT_OK_AND_ASSIGN(Pod pod, ServeAs(name));
    ASSERT_THAT(Addresses(pod), SizeIs(2));
    ASSERT_OK_AND_ASSIGN(const Ask from_pod, From(pod));
    ExpectReaches("outside to pod", FromOutside(), Servers(pod, name));
    ExpectReaches("pod to outside", from_pod, outside);
    for (const Pod& other : running)
      ExpectReaches("pod to pod", from_pod, Servers(other, other.config().hostname()));
    running.push_back(std::move(pod));
  }
}

TEST_F(CniTrafficTest, BesideTheNodeByMacvlan) {
  if (!Succeeds("ip link add link cnihost0 name t0 type macvlan && ip link del t0"))
    GTEST_SKIP() << "the kernel has no macvlan";
  ShellOutside("ip link set cnihost1 down; ip link set cnihost1 name beside");
  ASSERT_NO_FATAL_FAILURE(ExpectTrafficBesideTheNode(
      {{"type", "macvlan"}, {"master", "cnihost0"}, {"ipam", Ipam({"10.78.0.0/28", "fd78::/64"})}},
      /*pods=*/2));
}

TEST_F(CniTrafficTest, BesideTheNodeByVlan) {
  if (!Succeeds("ip link add link cnihost0 name t0 type vlan id 5 && ip link del t0"))
    GTEST_SKIP() << "the kernel has no vlan (8021q)";
  ShellOutside("ip link add link cnihost1 name beside type vlan id 5");
  ASSERT_NO_FATAL_FAILURE(
      ExpectTrafficBesideTheNode({{"type", "vlan"},
                                  {"master", "cnihost0"},
                                  {"vlanId", 5},
                                  {"ipam", Ipam({"10.78.0.0/28", "fd78::/64"})}},
                                 /*pods=*/1));
}

}  // namespace
}  // namespace berth::e2e
