// Ports of the host that lead to pods, with traffic from every side.
#include <fcntl.h>
#include <gmock/gmock.h>

#include "absl/time/clock.h"
#include "src/base/steady_time.h"
#include "src/kernel/file.h"
#include "src/sandbox/network/host_bridge.h"
#include "src/sandbox/network/nat_table.h"
#include "src/sandbox/network/testing/bridge_fixture.h"
#include "src/sandbox/network/testing/exchange.h"

namespace berth {
namespace {

using ::testing::HasSubstr;

constexpr uint16_t kHostPort = 8080, kPodPort = 80;
constexpr char kRouteLocalnet[] = "/proc/sys/net/ipv4/conf/berth0/route_localnet";
constexpr char kBridgeFilter[] = "/proc/sys/net/bridge/bridge-nf-call-iptables";

Wish Ports(PortProtocol protocol, const std::string& host_ip = "", uint16_t host_port = kHostPort) {
  return {.ports = {{.protocol = protocol,
                     .container_port = kPodPort,
                     .host_port = host_port,
                     .host_ip = host_ip}}};
}

class HostPortRootTest : public BridgeRootTest {
 protected:
  void SetUp() override {
    BridgeRootTest::SetUp();
    if (IsSkipped()) return;
    Cable("up0", outside_, "out0", {"192.0.2.0/24", "2001:db8::/64"});
    ASSERT_TRUE(SetLoopbackUpHere().ok());
    network_ = OpenNetwork();
  }
  absl::Status SetLoopbackUpHere() {
    NetlinkBatch batch;
    SetLink(batch, "lo", {.up = true});
    return route_->Run(std::move(batch));
  }
  absl::StatusOr<NetworkClaim> Begin(const Wish& wish) {
    return network_->Begin({.ports = wish.ports});
  }
  // The client's address as the pod sees it; "" when nothing gets through.
  std::string Seen(const BegunPod& pod, int client, const std::string& address, int type,
                   uint16_t port = kHostPort) {
    return Exchange({.server = pod.netns(),
                     .server_port = kPodPort,
                     .client = client,
                     .address = address,
                     .port = port,
                     .type = type});
  }
  NetworkNamespace outside_;
};

struct Transport {
  const char* name;
  PortProtocol protocol;
  int type;
};
class HostPortTransportTest : public HostPortRootTest,
                              public ::testing::WithParamInterface<Transport> {};
INSTANTIATE_TEST_SUITE_P(Transports, HostPortTransportTest,
                         ::testing::Values(Transport{"Tcp", PortProtocol::kTcp, SOCK_STREAM},
                                           Transport{"Udp", PortProtocol::kUdp, SOCK_DGRAM}),
                         [](const auto& info) { return info.param.name; });

TEST_P(HostPortTransportTest, LeadsToThePodFromEverySide) {
  auto pod = Run(*network_, Ports(GetParam().protocol));
  auto other = Run(*network_);
  ASSERT_TRUE(pod.ok()) << pod.status();
  ASSERT_TRUE(other.ok()) << other.status();
  const int type = GetParam().type;
  EXPECT_EQ(Seen(*pod, outside_.fd(), "192.0.2.1", type), "192.0.2.2");
  EXPECT_EQ(Seen(*pod, outside_.fd(), "2001:db8::1", type), "2001:db8::2");
  EXPECT_EQ(Seen(*pod, host_->fd(), "192.0.2.1", type), "192.0.2.1");
  EXPECT_EQ(Seen(*pod, host_->fd(), "2001:db8::1", type), "2001:db8::1");
  EXPECT_EQ(Seen(*pod, host_->fd(), "127.0.0.1", type), "10.88.0.1");
  EXPECT_EQ(Seen(*pod, host_->fd(), "10.88.0.1", type), "10.88.0.1");
  // Whether bridged packets are shown to the packet filter decides which way these go.
  for (const char* shown : {"1", "0"}) {
    if (::access(kBridgeFilter, F_OK) == 0) {
      ASSERT_TRUE(WriteFileAt(AT_FDCWD, kBridgeFilter, shown).ok());
      ASSERT_TRUE(
          WriteFileAt(AT_FDCWD, "/proc/sys/net/bridge/bridge-nf-call-ip6tables", shown).ok());
    }
    for (const BegunPod* from : {&*other, &*pod}) {
      EXPECT_EQ(Seen(*pod, from->netns(), "192.0.2.1", type), "10.88.0.1") << shown;
      EXPECT_EQ(Seen(*pod, from->netns(), "2001:db8::1", type), "fd88::1") << shown;
    }
  }
}

TEST_P(HostPortTransportTest, OfOneAddressLeadsToThePodFromThereAlone) {
  auto pod = Run(*network_, Ports(GetParam().protocol, "192.0.2.1"));
  ASSERT_TRUE(pod.ok()) << pod.status();
  const int type = GetParam().type;
  EXPECT_EQ(Seen(*pod, outside_.fd(), "192.0.2.1", type), "192.0.2.2");
  EXPECT_EQ(Seen(*pod, host_->fd(), "10.88.0.1", type), "");
  EXPECT_EQ(Seen(*pod, host_->fd(), "127.0.0.1", type), "");
  EXPECT_EQ(Seen(*pod, outside_.fd(), "2001:db8::1", type), "");
  EXPECT_EQ(ReadFileAt(AT_FDCWD, kRouteLocalnet).value(), "0\n");
}

TEST_P(HostPortTransportTest, GoesWithThePodAndComesWithTheNext) {
  const int type = GetParam().type;
  auto first = Run(*network_, Ports(GetParam().protocol));
  ASSERT_TRUE(first.ok()) << first.status();
  // The same client socket goes on talking: only a connection that is not tracked any more can
  // reach the second pod.
  Client client(outside_.fd(), "192.0.2.1", kHostPort, type, /*own_port=*/5555);
  EXPECT_EQ(client.Ask(first->netns(), kPodPort), "192.0.2.2");
  network_->Detach(first->id).IgnoreError();
  ASSERT_TRUE(network_->WaitUntilReaped(kPatience).ok());
  EXPECT_EQ(client.Ask(first->netns(), kPodPort), "");
  auto second = Run(*network_, Ports(GetParam().protocol));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(client.Ask(second->netns(), kPodPort), "192.0.2.2");
}

TEST_F(HostPortRootTest, SctpPacketsReachThePod) {
  auto pod = Run(*network_, Ports(PortProtocol::kSctp));
  ASSERT_TRUE(pod.ok()) << pod.status();
  EXPECT_EQ(SctpInitArrives(outside_.fd(), "192.0.2.1", kHostPort, pod->netns(), kPodPort),
            "192.0.2.2");
  EXPECT_EQ(SctpInitArrives(outside_.fd(), "2001:db8::1", kHostPort, pod->netns(), kPodPort),
            "2001:db8::2");
}

TEST_F(HostPortRootTest, TakenByAnotherPodIsRefusedBeforeAnythingIsMade) {
  auto pod = Run(*network_, Ports(PortProtocol::kTcp));
  ASSERT_TRUE(pod.ok()) << pod.status();
  const std::vector<std::string> links = LinkNames();
  for (const char* address : {"", "192.0.2.1", "0.0.0.0", "::"}) {
    const auto refused = Begin(Ports(PortProtocol::kTcp, address));
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition) << address;
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr("pod " + pod->id + " has it"));
  }
  EXPECT_EQ(LinkNames(), links);
  EXPECT_TRUE(Run(*network_, Ports(PortProtocol::kUdp)).ok());
  EXPECT_TRUE(Run(*network_, Ports(PortProtocol::kTcp, "", kHostPort + 1)).ok());
}

TEST_F(HostPortRootTest, DifferentAddressesShareAPort) {
  auto first = Run(*network_, Ports(PortProtocol::kTcp, "192.0.2.1"));
  auto second = Run(*network_, Ports(PortProtocol::kTcp, "127.0.0.1"));
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(Seen(*first, outside_.fd(), "192.0.2.1", SOCK_STREAM), "192.0.2.2");
  EXPECT_EQ(Seen(*second, host_->fd(), "127.0.0.1", SOCK_STREAM), "10.88.0.1");
}

TEST_F(HostPortRootTest, TakenByAProcessIsRefused) {
  const Listener listener(host_->fd(), "192.0.2.1", kHostPort, SOCK_STREAM);
  const auto refused = Begin(Ports(PortProtocol::kTcp));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(refused.status().message(),
            "take host port 0.0.0.0:8080/tcp: a process of the node has it");
}

TEST_F(HostPortRootTest, ProcessesDoNotGetAPortThatAPodHas) {
  auto pod = Run(*network_, Ports(PortProtocol::kTcp));
  ASSERT_TRUE(pod.ok()) << pod.status();
  const auto [address, length] = SocketAddress(ParseIpAddress("0.0.0.0").value(), kHostPort);
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  EXPECT_NE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), length), 0);
  EXPECT_EQ(errno, EADDRINUSE);
}

TEST_F(HostPortRootTest, RefusesWhatCannotBeDone) {
  const auto code = [&](const Wish& request) { return Begin(request).status().code(); };
  EXPECT_EQ(code(Ports(PortProtocol::kTcp, "198.51.100.7")), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code(Ports(PortProtocol::kTcp, "::1")), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code(Ports(PortProtocol::kTcp, "nonsense")), absl::StatusCode::kInvalidArgument);
  Wish twice = Ports(PortProtocol::kTcp);
  twice.ports.push_back(Ports(PortProtocol::kTcp, "127.0.0.1").ports[0]);
  EXPECT_EQ(code(twice), absl::StatusCode::kFailedPrecondition);
}

TEST_F(HostPortRootTest, LoopbackIsRoutedOnlyWhileAPortNeedsItAndNeverForPods) {
  auto pod = Run(*network_, Ports(PortProtocol::kTcp));
  ASSERT_TRUE(pod.ok()) << pod.status();
  EXPECT_EQ(ReadFileAt(AT_FDCWD, kRouteLocalnet).value(), "1\n");
  // A service that only the node itself may reach, and a pod that sends to it, or as if it were the
  // node; the last datagram shows that those before it have been dealt with.
  const Listener service(host_->fd(), "127.0.0.1", 9999, SOCK_DGRAM);
  const Listener open_to_pods(host_->fd(), "10.88.0.1", 9999, SOCK_DGRAM);
  const auto send = [&](const std::string& from, const std::string& to) {
    EXPECT_TRUE(SendRaw({.netns = pod->netns(),
                         .interface = "eth0",
                         .to_mac = MacFor(ParseIpAddress("10.88.0.1").value()),
                         .from = from,
                         .to = to,
                         .port = 9999}));
  };
  send(pod->addresses[0], "127.0.0.1");
  send("127.0.0.1", "10.88.0.1");
  send(pod->addresses[0], "10.88.0.1");
  sockaddr_storage peer = {};
  socklen_t length = sizeof(peer);
  char byte;
  ASSERT_GE(::recvfrom(open_to_pods.fd(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&peer), &length),
            0);
  EXPECT_EQ(PeerText(peer), pod->addresses[0]);
  EXPECT_LT(::recv(service.fd(), &byte, 1, MSG_DONTWAIT), 0);
  network_->Detach(pod->id).IgnoreError();
  EXPECT_EQ(ReadFileAt(AT_FDCWD, kRouteLocalnet).value(), "0\n");
}

TEST_F(HostPortRootTest, AddressesOfOthersAreNotTaken) {
  // A packet that only passes through the host keeps its destination.
  auto pod = Run(*network_, Ports(PortProtocol::kTcp));
  ASSERT_TRUE(pod.ok()) << pod.status();
  EXPECT_EQ(Exchange({.server = outside_.fd(),
                      .server_port = kHostPort,
                      .client = pod->netns(),
                      .address = "192.0.2.2",
                      .port = kHostPort,
                      .type = SOCK_STREAM}),
            "192.0.2.1");
}

TEST_F(HostPortRootTest, ComesBackAfterARestart) {
  auto pod = Run(*network_, Ports(PortProtocol::kTcp));
  ASSERT_TRUE(pod.ok()) << pod.status();
  Restart();
  network_->Adopt(pod->id, Ports(PortProtocol::kTcp).ports);
  network_->Reconcile({pod->id});
  EXPECT_EQ(Seen(*pod, outside_.fd(), "192.0.2.1", SOCK_STREAM), "192.0.2.2");
  EXPECT_EQ(Begin(Ports(PortProtocol::kTcp)).status().code(),
            absl::StatusCode::kFailedPrecondition);
  network_->Detach(pod->id).IgnoreError();
  EXPECT_EQ(Seen(*pod, outside_.fd(), "192.0.2.1", SOCK_STREAM), "");
}

TEST_F(HostPortRootTest, OfAPodThatDiedMeanwhileIsGoneAfterARestart) {
  auto pod = Run(*network_, Ports(PortProtocol::kTcp));
  ASSERT_TRUE(pod.ok()) << pod.status();
  auto live = Run(*network_);
  ASSERT_TRUE(live.ok()) << live.status();
  Restart();
  network_->Reconcile({live->id});
  EXPECT_EQ(Seen(*pod, outside_.fd(), "192.0.2.1", SOCK_STREAM), "");
  EXPECT_EQ(ReadFileAt(AT_FDCWD, kRouteLocalnet).value(), "0\n");
}

TEST_F(HostPortRootTest, OfThePodThatDiedLastIsFreeAfterARestart) {
  auto pod = Run(*network_, Ports(PortProtocol::kTcp));
  ASSERT_TRUE(pod.ok()) << pod.status();
  Restart();
  network_->Reconcile({});
  auto next = Run(*network_, Ports(PortProtocol::kTcp));
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(Seen(*next, outside_.fd(), "192.0.2.1", SOCK_STREAM), "192.0.2.2");
}

TEST_F(HostPortRootTest, IsPutBackWhenAFirewallReloads) {
  auto pod = Run(*network_, Ports(PortProtocol::kTcp));
  ASSERT_TRUE(pod.ok()) << pod.status();
  ASSERT_TRUE(RemoveNatTable(*nft_, "berth0").ok());  // as `nft flush ruleset` does it
  const absl::Time deadline = SteadyNow() + kPatience;
  while (network_->counts().table_mended == 0 && SteadyNow() < deadline)
    absl::SleepFor(absl::Milliseconds(5));
  EXPECT_EQ(Seen(*pod, outside_.fd(), "192.0.2.1", SOCK_STREAM), "192.0.2.2");
}

TEST_F(HostPortRootTest, FailedAttachGivesThePortBack) {
  const auto claim = Begin(Ports(PortProtocol::kTcp));
  ASSERT_TRUE(claim.ok()) << claim.status();
  EXPECT_FALSE(
      network_->Attach({.pod_id = claim->pod_id, .ports = Ports(PortProtocol::kTcp).ports}).ok());
  EXPECT_TRUE(Run(*network_, Ports(PortProtocol::kTcp)).ok());
}

}  // namespace
}  // namespace berth
