#include "src/base/steady_time.h"
#include "src/sandbox/network/bridge.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/if_ether.h>

#include <algorithm>
#include <array>
#include <thread>

#include "src/kernel/file.h"
#include "src/kernel/nftables.h"
#include "src/sandbox/network/host_side.h"
#include "src/sandbox/network/nat_table.h"
#include "src/sandbox/network/pod_link.h"
#include "src/sandbox/network/testing/bridge_fixture.h"

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using ::testing::UnorderedElementsAreArray;

TEST_F(BridgeRootTest, PodsReachEachOtherAndTheHost) {
  network_ = OpenNetwork();
  Pod a, b;
  ASSERT_TRUE(Attach(*network_, a).ok());
  ASSERT_TRUE(Attach(*network_, b).ok());
  EXPECT_THAT(a.addresses, ElementsAre("10.88.0.2", "fd88::2"));
  EXPECT_THAT(b.addresses, ElementsAre("10.88.0.3", "fd88::3"));
  const std::vector<std::string> gateways = {"10.88.0.1", "fd88::1"};
  for (int family = 0; family < 2; ++family) {
    EXPECT_EQ(ConnectedFrom(a.netns.fd(), b.netns.fd(), b.addresses[family]), a.addresses[family]);
    EXPECT_EQ(ConnectedFrom(b.netns.fd(), a.netns.fd(), a.addresses[family]), b.addresses[family]);
    EXPECT_EQ(ConnectedFrom(a.netns.fd(), host_->fd(), gateways[family]), a.addresses[family]);
    EXPECT_EQ(ConnectedFrom(host_->fd(), a.netns.fd(), a.addresses[family]), gateways[family]);
  }
}

TEST_F(BridgeRootTest, TrafficToTheOutsideCarriesTheHostsAddress) {
  NetworkNamespace outside;
  Cable("up0", outside, "out0", {"192.0.2.0/24", "2001:db8::/64"});
  network_ = OpenNetwork();
  Pod pod;
  ASSERT_TRUE(Attach(*network_, pod).ok());
  // The outside has no route back to the pods: an answer can only have gone to the host.
  EXPECT_EQ(ConnectedFrom(pod.netns.fd(), outside.fd(), "192.0.2.2"), "192.0.2.1");
  EXPECT_EQ(ConnectedFrom(pod.netns.fd(), outside.fd(), "2001:db8::2"), "2001:db8::1");
}

TEST_F(BridgeRootTest, PodFindsItsLoopbackUp) {
  network_ = OpenNetwork();
  Pod pod;
  ASSERT_TRUE(Attach(*network_, pod).ok());
  EXPECT_EQ(ConnectedFrom(pod.netns.fd(), pod.netns.fd(), "127.0.0.1"), "127.0.0.1");
  EXPECT_EQ(ConnectedFrom(pod.netns.fd(), pod.netns.fd(), "::1"), "::1");
}

// A socket of the namespace `netns`.
UniqueFd SocketIn(int netns, int family, int type, int protocol) {
  UniqueFd fd;
  std::thread([&] {
    if (::setns(netns, CLONE_NEWNET) == 0)
      fd.reset(::socket(family, type | SOCK_CLOEXEC, protocol));
  }).join();
  const timeval limit = {.tv_sec = 20};  // bounds a failing test
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  return fd;
}

// Sends to a multicast address of IPv6 from a pod.
void SendToGroup(int netns, const char* group) {
  const UniqueFd sender = SocketIn(netns, AF_INET6, SOCK_DGRAM, 0);
  auto [to, length] = SocketAddress(ParseIpAddress(group).value(), 9);
  reinterpret_cast<sockaddr_in6*>(&to)->sin6_scope_id = 2;  // eth0
  EXPECT_EQ(::sendto(sender.get(), "x", 1, 0, reinterpret_cast<sockaddr*>(&to), length), 1)
      << ::strerror(errno);
}

TEST_F(BridgeRootTest, OfMulticastOnlyMembershipReportsReachNoOtherPod) {
  network_ = OpenNetwork();
  Pod a, b;
  ASSERT_TRUE(Attach(*network_, a).ok());
  ASSERT_TRUE(Attach(*network_, b).ok());
  const UniqueFd all = SocketIn(b.netns.fd(), AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  ASSERT_EQ(ConnectedFrom(a.netns.fd(), b.netns.fd(), b.addresses[1]), a.addresses[1]);
  SendToGroup(a.netns.fd(), "ff02::16");
  SendToGroup(a.netns.fd(), "ff02::fb");
  const MacAddress from = MacFor(ParseIpAddress(a.addresses[0]).value());
  constexpr MacAddress kReports = {0x33, 0x33, 0, 0, 0, 0x16}, kOther = {0x33, 0x33, 0, 0, 0, 0xfb};
  for (MacAddress to = {}; to != kOther;) {
    std::array<uint8_t, 2048> frame;
    ASSERT_GE(::recv(all.get(), frame.data(), frame.size(), 0), ETH_HLEN) << ::strerror(errno);
    if (!std::equal(from.begin(), from.end(), frame.begin() + from.size())) continue;
    std::copy_n(frame.begin(), to.size(), to.begin());
    EXPECT_NE(to, kReports);
  }
}

TEST_F(BridgeRootTest, PoolEndsAndGoesOnAfterDetach) {
  network_ = OpenNetwork({.ipv4_subnet = "10.7.0.0/29"});
  std::vector<Pod> pods(5);
  for (Pod& pod : pods) ASSERT_TRUE(Attach(*network_, pod).ok());
  Pod late;
  EXPECT_EQ(Attach(*network_, late).code(), absl::StatusCode::kResourceExhausted);
  network_->Detach(pods[3].id).IgnoreError();
  network_->Detach(pods[3].id).IgnoreError();
  ASSERT_TRUE(network_->WaitUntilReaped(kPatience).ok());
  EXPECT_FALSE(Exists(HostLinkName(pods[3].id)));
  ASSERT_TRUE(Attach(*network_, late).ok());
  EXPECT_EQ(late.addresses, pods[3].addresses);
}

TEST_F(BridgeRootTest, AddressIsUsedAgainOnlyWhenItsLinkIsGone) {
  network_ = OpenNetwork({.ipv4_subnet = "10.7.0.0/30"});
  std::vector<Pod> pods(4);
  ASSERT_TRUE(Attach(*network_, pods[0]).ok());
  for (size_t i = 1; i < pods.size(); ++i) {
    network_->Detach(pods[i - 1].id).IgnoreError();
    const absl::Time deadline = SteadyNow() + kPatience;
    absl::Status status = Attach(*network_, pods[i]);
    while (absl::IsResourceExhausted(status) && SteadyNow() < deadline)
      status = Attach(*network_, pods[i]);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_FALSE(Exists(HostLinkName(pods[i - 1].id)));
    EXPECT_EQ(pods[i].addresses, pods[i - 1].addresses);
  }
}

TEST_F(BridgeRootTest, AddressOfAPodWhoseNamespaceDiedComesBack) {
  network_ = OpenNetwork();
  auto pod = std::make_unique<Pod>();
  const std::string id = pod->id;
  ASSERT_TRUE(Attach(*network_, *pod).ok());
  pod.reset();
  network_->Detach(id).IgnoreError();
  ASSERT_TRUE(network_->WaitUntilReaped(kPatience).ok());
  EXPECT_FALSE(Exists(HostLinkName(id)));
  EXPECT_THAT(AddressesInDatabase(), IsEmpty());
}

TEST_F(BridgeRootTest, PodsThatComeAtTheSameTimeGetDifferentAddresses) {
  network_ = OpenNetwork();
  std::vector<Pod> pods(16);
  std::vector<absl::Status> results(pods.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < pods.size(); ++i) {
    threads.emplace_back([&, i] {
      results[i] = Attach(*network_, pods[i]);
      if (i % 2 == 0) network_->Detach(pods[i].id).IgnoreError();
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<std::string> kept;
  for (size_t i = 0; i < pods.size(); ++i) {
    ASSERT_TRUE(results[i].ok()) << results[i];
    if (i % 2 == 1) kept.insert(kept.end(), pods[i].addresses.begin(), pods[i].addresses.end());
  }
  ASSERT_TRUE(network_->WaitUntilReaped(kPatience).ok());
  EXPECT_THAT(AddressesInDatabase(), UnorderedElementsAreArray(kept));
  EXPECT_EQ(ConnectedFrom(pods[1].netns.fd(), pods[15].netns.fd(), pods[15].addresses[0]),
            pods[1].addresses[0]);
}

TEST_F(BridgeRootTest, ManyPodsGoAtOnce) {
  network_ = OpenNetwork();
  std::vector<Pod> pods(20);
  for (Pod& pod : pods) ASSERT_TRUE(Attach(*network_, pod).ok());
  for (Pod& pod : pods) network_->Detach(pod.id).IgnoreError();
  ASSERT_TRUE(network_->WaitUntilReaped(kPatience).ok());
  EXPECT_THAT(LinkNames(), UnorderedElementsAre("lo", "berth0"));
  EXPECT_THAT(AddressesInDatabase(), IsEmpty());
}

TEST_F(BridgeRootTest, RestartKeepsPodsAndTheirAddresses) {
  network_ = OpenNetwork();
  Pod a, b;
  ASSERT_TRUE(Attach(*network_, a).ok());
  Restart();
  ASSERT_TRUE(Attach(*network_, b).ok());
  EXPECT_NE(a.addresses, b.addresses);
  EXPECT_EQ(ConnectedFrom(a.netns.fd(), b.netns.fd(), b.addresses[0]), a.addresses[0]);
  network_->Detach(a.id).IgnoreError();
  ASSERT_TRUE(network_->WaitUntilReaped(kPatience).ok());
  EXPECT_FALSE(Exists(HostLinkName(a.id)));
  EXPECT_THAT(AddressesInDatabase(), UnorderedElementsAre(b.addresses[0], b.addresses[1]));
}

TEST_F(BridgeRootTest, RestartFinishesARemovalThatHadBegun) {
  network_ = OpenNetwork();
  Pod pod;
  ASSERT_TRUE(Attach(*network_, pod).ok());
  network_.reset();
  ASSERT_TRUE(ReleaseAddressRows(*database_, pod.addresses).ok());
  Restart();
  ASSERT_TRUE(network_->WaitUntilReaped(kPatience).ok());
  EXPECT_FALSE(Exists(HostLinkName(pod.id)));
  EXPECT_THAT(AddressesInDatabase(), IsEmpty());
}

TEST_F(BridgeRootTest, ReconcileRemovesWhatBelongsToNoLivePod) {
  network_ = OpenNetwork();
  Pod live, dead, unknown;
  for (Pod* pod : {&live, &dead, &unknown}) ASSERT_TRUE(Attach(*network_, *pod).ok());
  network_.reset();
  ASSERT_TRUE(DeleteAddressRows(*database_, unknown.addresses).ok());
  // Died between the row and the link.
  ASSERT_TRUE(InsertAddressRows(*database_, NewId(), {"10.88.9.9", "fd88::909"}).ok());
  // Somebody else's port on our bridge.
  NetworkNamespace other;
  NetlinkBatch batch;
  AddVeth(batch, {.name = "tap0",
                  .master = GetLink(*route_, "berth0").value().index,
                  .peer_name = "x",
                  .peer_netns_fd = other.fd()});
  ASSERT_TRUE(route_->Run(std::move(batch)).ok());

  Restart();
  network_->Reconcile({live.id});
  ASSERT_TRUE(network_->WaitUntilReaped(kPatience).ok());
  EXPECT_THAT(LinkNames(), UnorderedElementsAre("lo", "berth0", "tap0", HostLinkName(live.id)));
  EXPECT_THAT(AddressesInDatabase(), UnorderedElementsAre(live.addresses[0], live.addresses[1]));
}

TEST_F(BridgeRootTest, NetworksSideBySideLeaveEachOtherAlone) {
  auto second_database = Database::Open(directory_ + "/second.db");
  ASSERT_TRUE(second_database.ok());
  auto second = BridgeNetwork::Open(
      {.bridge = "berth1", .ipv4_subnet = "10.89.0.0/24", .ipv6_subnet = ""}, **second_database);
  ASSERT_TRUE(second.ok()) << second.status();
  network_ = OpenNetwork();
  Pod a, b;
  ASSERT_TRUE(Attach(*network_, a).ok());
  ASSERT_TRUE(Attach(**second, b).ok());
  EXPECT_THAT(b.addresses, ElementsAre("10.89.0.2"));
  network_->Reconcile({});
  network_->Detach(b.id).IgnoreError();  // not its pod
  ASSERT_TRUE(network_->RemoveIfUnused().ok());
  EXPECT_THAT(LinkNames(), UnorderedElementsAre("lo", "berth1", HostLinkName(b.id)));
  EXPECT_TRUE(GetNftTableComment(*nft_, NatTableName("berth1")).ok());
  EXPECT_EQ(ConnectedFrom(b.netns.fd(), host_->fd(), "10.89.0.1"), "10.89.0.2");
}

TEST_F(BridgeRootTest, LeavesALinkOfItsNameOnAnotherBridgeAlone) {
  NetlinkBatch batch;
  AddBridge(batch, {.name = "other0", .mac = {2, 0, 0, 0, 0, 1}});
  ASSERT_TRUE(route_->Run(std::move(batch)).ok());
  Pod pod;
  NetlinkBatch link;
  AddVeth(link, {.name = HostLinkName(pod.id),
                 .master = GetLink(*route_, "other0").value().index,
                 .peer_name = "eth0",
                 .peer_netns_fd = pod.netns.fd()});
  ASSERT_TRUE(route_->Run(std::move(link)).ok());
  ASSERT_TRUE(InsertAddressRows(*database_, pod.id, {"10.88.0.2"}).ok());
  network_ = OpenNetwork();
  network_->Detach(pod.id).IgnoreError();
  ASSERT_TRUE(network_->WaitUntilReaped(kPatience).ok());
  EXPECT_TRUE(Exists(HostLinkName(pod.id)));
  EXPECT_THAT(AddressesInDatabase(), IsEmpty());
}

TEST_F(BridgeRootTest, NothingIsLeftAfterRemoval) {
  network_ = OpenNetwork();
  Pod pod;
  ASSERT_TRUE(Attach(*network_, pod).ok());
  EXPECT_EQ(network_->RemoveIfUnused().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Exists("berth0"));
  network_->Detach(pod.id).IgnoreError();
  ASSERT_TRUE(network_->RemoveIfUnused().ok());
  EXPECT_THAT(LinkNames(), ElementsAre("lo"));
  EXPECT_TRUE(absl::IsNotFound(GetNftTableComment(*nft_, NatTableName("berth0")).status()));
  ASSERT_TRUE(network_->RemoveIfUnused().ok());
  Pod next;
  EXPECT_TRUE(Attach(*network_, next).ok());
}

TEST_F(BridgeRootTest, RefusesASubnetOfAnotherInterface) {
  NetworkNamespace outside;
  Cable("up0", outside, "out0", {"10.88.7.0/24"});
  network_ = OpenNetwork();
  Pod pod;
  const absl::Status status = Attach(*network_, pod);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(), "use subnet 10.88.0.0/16: overlaps 10.88.7.1/24 of interface up0");
  EXPECT_FALSE(Exists("berth0"));
  ASSERT_TRUE(network_->WaitUntilReaped(kPatience).ok());
  EXPECT_THAT(AddressesInDatabase(), IsEmpty());
}

TEST_F(BridgeRootTest, RefusesANameThatIsNoBridge) {
  NetworkNamespace outside;
  Cable("berth0", outside, "out0", {});
  network_ = OpenNetwork();
  Pod pod;
  EXPECT_EQ(Attach(*network_, pod).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(network_->WaitUntilReaped(kPatience), absl::OkStatus());
  EXPECT_EQ(network_->RemoveIfUnused().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetLink(*route_, "berth0").value().kind, "veth");
}

TEST_F(BridgeRootTest, MakesAgainWhatSomebodyRemoved) {
  NetworkNamespace outside;
  Cable("up0", outside, "out0", {"192.0.2.0/24"});
  network_ = OpenNetwork();
  Pod first, second;
  ASSERT_TRUE(Attach(*network_, first).ok());
  NetlinkBatch batch;
  DeleteLink(batch, GetLink(*route_, "berth0").value().index);
  ASSERT_TRUE(route_->Run(std::move(batch)).ok());
  ASSERT_TRUE(RemoveNatTable(*nft_, "berth0").ok());
  ASSERT_TRUE(Attach(*network_, second).ok());
  EXPECT_EQ(ConnectedFrom(second.netns.fd(), outside.fd(), "192.0.2.2"), "192.0.2.1");
  network_->Detach(first.id).IgnoreError();  // its link lost its bridge and is still its link
  ASSERT_TRUE(network_->WaitUntilReaped(kPatience).ok());
  EXPECT_FALSE(Exists(HostLinkName(first.id)));
}

TEST_F(BridgeRootTest, ReplacesATableMadeForOtherSubnets) {
  ASSERT_TRUE(EnsureNatTable(
                  *nft_, {.bridge = "berth0", .subnets = {ParseSubnet("10.99.0.0/16").value()}}, {})
                  .ok());
  const std::string before = GetNftTableComment(*nft_, NatTableName("berth0")).value();
  NetworkNamespace outside;
  Cable("up0", outside, "out0", {"192.0.2.0/24"});
  network_ = OpenNetwork();
  Pod pod;
  ASSERT_TRUE(Attach(*network_, pod).ok());
  EXPECT_NE(GetNftTableComment(*nft_, NatTableName("berth0")).value(), before);
  EXPECT_EQ(ConnectedFrom(pod.netns.fd(), outside.fd(), "192.0.2.2"), "192.0.2.1");
}

TEST_F(BridgeRootTest, PodsGetTheMtuOfTheUplink) {
  NetworkNamespace outside;
  const int index = Cable("up0", outside, "out0", {"192.0.2.0/24"}, 1380);
  NetlinkBatch batch;
  AddDefaultRoute(batch, index, ParseIpAddress("192.0.2.2").value());
  ASSERT_TRUE(route_->Run(std::move(batch)).ok());
  network_ = OpenNetwork();
  Pod pod;
  ASSERT_TRUE(Attach(*network_, pod).ok());
  EXPECT_EQ(GetLink(pod.netns.route(), "eth0").value().mtu, 1380u);
  EXPECT_EQ(GetLink(*route_, "berth0").value().mtu, 1380u);
}

TEST_F(BridgeRootTest, LeavesOutIpv6WhereThePodHasItSwitchedOff) {
  network_ = OpenNetwork();
  Pod pod;
  pod.netns.Run([] {
    ASSERT_TRUE(WriteFileAt(AT_FDCWD, "/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").ok());
  });
  ASSERT_TRUE(Attach(*network_, pod).ok());
  EXPECT_THAT(pod.addresses, ElementsAre("10.88.0.2"));
  EXPECT_EQ(ConnectedFrom(pod.netns.fd(), host_->fd(), "10.88.0.1"), "10.88.0.2");
}

TEST_F(BridgeRootTest, KeepsInterfacesListeningToRouterAdvertisements) {
  NetworkNamespace outside;
  Cable("up0", outside, "out0", {});
  ASSERT_EQ(ReadFileAt(AT_FDCWD, "/proc/sys/net/ipv6/conf/up0/accept_ra").value(), "1\n");
  network_ = OpenNetwork();
  Pod pod;
  ASSERT_TRUE(Attach(*network_, pod).ok());
  EXPECT_EQ(ReadFileAt(AT_FDCWD, "/proc/sys/net/ipv6/conf/up0/accept_ra").value(), "2\n");
  EXPECT_EQ(ReadFileAt(AT_FDCWD, "/proc/sys/net/ipv6/conf/berth0/accept_ra").value(), "0\n");
  EXPECT_EQ(ReadFileAt(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward").value(), "1\n");
}

TEST_F(BridgeRootTest, FailedAttachLeavesNothing) {
  network_ = OpenNetwork();
  Pod pod;
  EXPECT_FALSE(
      network_->Attach({.pod_id = pod.id, .netns_fd = -1, .netlink_fd = pod.netns.route_fd()})
          .ok());
  // The link can be made, but not configured: the socket belongs to a namespace without an eth0.
  NetworkNamespace elsewhere;
  Pod other;
  EXPECT_FALSE(network_
                   ->Attach({.pod_id = other.id,
                             .netns_fd = other.netns.fd(),
                             .netlink_fd = elsewhere.route_fd()})
                   .ok());
  ASSERT_TRUE(network_->WaitUntilReaped(kPatience).ok());
  EXPECT_THAT(LinkNames(), UnorderedElementsAre("lo", "berth0"));
  EXPECT_THAT(AddressesInDatabase(), IsEmpty());
}

TEST_F(BridgeRootTest, RefusesASecondAttachOfTheSamePod) {
  network_ = OpenNetwork();
  Pod pod;
  ASSERT_TRUE(Attach(*network_, pod).ok());
  EXPECT_EQ(Attach(*network_, pod).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(Exists(HostLinkName(pod.id)));
}

TEST_F(BridgeRootTest, CountsTheTrafficOfAPod) {
  network_ = OpenNetwork();
  Pod pod;
  ASSERT_TRUE(Attach(*network_, pod).ok());
  EXPECT_EQ(ConnectedFrom(pod.netns.fd(), host_->fd(), "10.88.0.1"), "10.88.0.2");
  const auto counters = ReadInterfaceCounters(pod.netns.route_fd());
  ASSERT_TRUE(counters.ok()) << counters.status();
  ASSERT_EQ(counters->size(), 2u);
  EXPECT_EQ((*counters)[0].name, "lo");
  EXPECT_EQ((*counters)[1].name, "eth0");
  EXPECT_GT((*counters)[1].tx_packets, 0u);
  EXPECT_GT((*counters)[1].rx_bytes, 0u);
}

TEST_F(BridgeRootTest, LoopbackAloneComesUpWithoutABridge) {
  NetworkNamespace pod;
  ASSERT_TRUE(SetLoopbackUp(pod.route_fd()).ok());
  EXPECT_EQ(ConnectedFrom(pod.fd(), pod.fd(), "127.0.0.1"), "127.0.0.1");
}

TEST_F(BridgeRootTest, RefusesWrongOptionsAndIds) {
  for (const BridgeNetwork::Options& options :
       {BridgeNetwork::Options{.bridge = "a/b"},
        BridgeNetwork::Options{.bridge = "a-name-too-long-"},
        BridgeNetwork::Options{.ipv4_subnet = "10.88.0.1/16"},
        BridgeNetwork::Options{.ipv4_subnet = "fd88::/64"},
        BridgeNetwork::Options{.ipv6_subnet = "fd88::/200"}}) {
    EXPECT_EQ(BridgeNetwork::Open(options, *database_).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  network_ = OpenNetwork();
  NetworkNamespace pod;
  EXPECT_EQ(
      network_
          ->Attach(
              {.pod_id = "../../etc/passwd", .netns_fd = pod.fd(), .netlink_fd = pod.route_fd()})
          .status()
          .code(),
      absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace berth
