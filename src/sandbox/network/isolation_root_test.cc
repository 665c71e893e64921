// Pods that must not reach each other, by whatever way.

#include "src/sandbox/network/host_bridge.h"
#include "src/sandbox/network/testing/bridge_fixture.h"
#include "src/sandbox/network/testing/exchange.h"

namespace berth {
namespace {

class IsolationRootTest : public BridgeRootTest {
 protected:
  // Sends to the other pod's address with this MAC address; then to the host, which shows that the
  // datagram before has been dealt with. True if the other pod got the first one.
  bool GetsThrough(const BegunPod& from, const BegunPod& to, const MacAddress& mac) {
    const Listener inside(to.netns(), to.addresses[0], 7777, SOCK_DGRAM);
    const Listener host(host_->fd(), "10.88.0.1", 7777, SOCK_DGRAM);
    RawDatagram datagram = {.netns = from.netns(),
                            .interface = "eth0",
                            .to_mac = mac,
                            .from = from.addresses[0],
                            .to = to.addresses[0],
                            .port = 7777};
    EXPECT_TRUE(SendRaw(datagram));
    datagram.to_mac = MacFor(ParseIpAddress("10.88.0.1").value());
    datagram.to = "10.88.0.1";
    EXPECT_TRUE(SendRaw(datagram));
    char byte;
    EXPECT_GE(::recv(host.fd(), &byte, 1, 0), 0);
    return ::recv(inside.fd(), &byte, 1, MSG_DONTWAIT) >= 0;
  }
  bool ReachesAnyWay(const BegunPod& from, const BegunPod& to) {
    const MacAddress direct = MacFor(ParseIpAddress(to.addresses[0]).value());
    const MacAddress by_host = MacFor(ParseIpAddress("10.88.0.1").value());
    return GetsThrough(from, to, direct) || GetsThrough(from, to, by_host);
  }
};

TEST_F(IsolationRootTest, IsolatedPodsReachTheHostAndTheOutsideOnly) {
  NetworkNamespace outside;
  Cable("up0", outside, "out0", {"192.0.2.0/24", "2001:db8::/64"});
  network_ = OpenNetwork({.isolate_pods = true});
  auto a = Run(*network_), b = Run(*network_);
  ASSERT_TRUE(a.ok()) << a.status();
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_EQ(ConnectedFrom(a->netns(), host_->fd(), "10.88.0.1"), a->addresses[0]);
  EXPECT_EQ(ConnectedFrom(a->netns(), host_->fd(), "fd88::1"), a->addresses[1]);
  EXPECT_EQ(ConnectedFrom(host_->fd(), a->netns(), a->addresses[1]), "fd88::1");
  EXPECT_EQ(ConnectedFrom(a->netns(), outside.fd(), "192.0.2.2"), "192.0.2.1");
  EXPECT_EQ(ConnectedFrom(a->netns(), outside.fd(), "2001:db8::2"), "2001:db8::1");
  EXPECT_FALSE(ReachesAnyWay(*a, *b));
  // IPv6 neighbour discovery gets no answer.
  const UniqueFd client = SocketIn(a->netns(), AF_INET6, SOCK_STREAM);
  const Listener server(b->netns(), b->addresses[1], 80, SOCK_STREAM);
  const timeval soon = {.tv_sec = 1};
  ::setsockopt(client.get(), SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon));
  const auto [address, length] = SocketAddress(ParseIpAddress(b->addresses[1]).value(), 80);
  EXPECT_NE(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), length), 0);
}

TEST_F(IsolationRootTest, OtherPodsReachEachOtherAnyWay) {
  network_ = OpenNetwork();
  auto a = Run(*network_), b = Run(*network_);
  ASSERT_TRUE(a.ok()) << a.status();
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_TRUE(GetsThrough(*a, *b, MacFor(ParseIpAddress(b->addresses[0]).value())));
}

TEST_F(IsolationRootTest, FollowsTheConfigurationForPodsThatRun) {
  network_ = OpenNetwork();
  auto a = Run(*network_), b = Run(*network_);
  ASSERT_TRUE(a.ok()) << a.status();
  ASSERT_TRUE(b.ok()) << b.status();
  Restart({.isolate_pods = true});
  network_->Reconcile({a->id, b->id});
  EXPECT_FALSE(ReachesAnyWay(*a, *b));
  Restart();
  network_->Reconcile({a->id, b->id});
  EXPECT_TRUE(ReachesAnyWay(*a, *b));
}

}  // namespace
}  // namespace berth
