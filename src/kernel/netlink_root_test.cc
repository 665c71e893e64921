#include "src/kernel/netlink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sys/mount.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "src/kernel/file.h"
#include "src/kernel/nftables.h"
#include "src/kernel/rtnetlink.h"
#include "src/kernel/testing/network_namespace.h"

namespace berth {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

// Of a sysfs of the caller's network namespace.
std::string ReadSysfs(const char* path) {
  const UniqueFd context(fsopen("sysfs", FSOPEN_CLOEXEC));
  EXPECT_EQ(fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0), 0);
  const UniqueFd mount(fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
  return ReadFileAt(mount.get(), path).value_or("unreadable");
}

class NetlinkRootTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: makes network namespaces";
    host_ = std::make_unique<ScopedHostNamespace>();
    pod_ = std::make_unique<NetworkNamespace>();
    ASSERT_TRUE(host_->valid() && pod_->valid());
    route_ = std::make_unique<NetlinkSocket>(NetlinkSocket::Open(NETLINK_ROUTE).value());
    nft_ = std::make_unique<NetlinkSocket>(NetlinkSocket::Open(NETLINK_NETFILTER).value());
  }

  absl::Status Veth(const std::string& name, int master = 0) {
    NetlinkBatch batch;
    AddVeth(batch, {.name = name,
                    .master = master,
                    .mtu = 1400,
                    .peer_name = "eth0",
                    .peer_netns_fd = pod_->fd(),
                    .peer_mac = MacAddress{2, 1, 2, 3, 4, 5}});
    return route_->Run(std::move(batch));
  }

  std::unique_ptr<ScopedHostNamespace> host_;
  std::unique_ptr<NetworkNamespace> pod_;
  std::unique_ptr<NetlinkSocket> route_, nft_;
};

TEST_F(NetlinkRootTest, PutsThePeerOfAVethIntoTheOtherNamespace) {
  NetlinkBatch batch;
  AddBridge(batch, {.name = "br0", .mac = {2, 0, 0, 0, 0, 1}});
  ASSERT_TRUE(route_->Run(std::move(batch)).ok());
  const Link bridge = GetLink(*route_, "br0").value();
  EXPECT_EQ(bridge.kind, "bridge");
  EXPECT_EQ(ReadSysfs("class/net/br0/bridge/multicast_snooping"), "0\n");
  ASSERT_TRUE(Veth("v0", bridge.index).ok());
  const Link host_end = GetLink(*route_, "v0").value();
  EXPECT_EQ(host_end.kind, "veth");
  EXPECT_EQ(host_end.master, bridge.index);
  EXPECT_EQ(host_end.mtu, 1400u);
  EXPECT_EQ(GetLink(pod_->route(), "eth0").value().mtu, 1400u);
  EXPECT_TRUE(absl::IsNotFound(GetLink(*route_, "eth0").status()));
}

TEST_F(NetlinkRootTest, CarriesOutWhatComesAfterAFailureAndReturnsTheFirstOne) {
  NetlinkBatch batch;
  SetLink(batch, "nope0", {.up = true});
  SetLink(batch, "lo", {.up = true});
  SetLink(batch, "nope1", {.up = true});
  const absl::Status status = route_->Run(std::move(batch));
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "set link nope0: No such device");
  EXPECT_TRUE(GetLink(*route_, "lo").value().flags & IFF_UP);
}

TEST_F(NetlinkRootTest, ErrorsCarryTheKernelsExplanation) {
  NetlinkBatch batch;
  AddDefaultRoute(batch, GetLink(*route_, "lo").value().index, ParseIpAddress("192.0.2.1").value());
  EXPECT_THAT(std::string(route_->Run(std::move(batch)).message()),
              testing::MatchesRegex("add default route via 192\\.0\\.2\\.1: [A-Z].* \\(.+\\)"));
}

TEST_F(NetlinkRootTest, StaleAnswersAreNotTakenForFreshOnes) {
  // Another owner of the same socket asked for something that does not exist and never read the
  // answer.
  NetlinkSocket other = NetlinkSocket::Wrap(pod_->route_fd()).value();
  struct {
    nlmsghdr header;
    char family[16];
  } request = {.header = {.nlmsg_len = sizeof(request),
                          .nlmsg_type = 18,  // RTM_GETLINK
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
                          .nlmsg_seq = 7}};
  ASSERT_EQ(::send(pod_->route_fd(), &request, sizeof(request), 0),
            static_cast<ssize_t>(sizeof(request)));
  NetlinkBatch batch;
  SetLink(batch, "lo", {.up = true});
  EXPECT_TRUE(other.Run(std::move(batch)).ok());
  EXPECT_EQ(GetLink(other, "lo").value().name, "lo");
}

TEST_F(NetlinkRootTest, ListsAddressesAndRoutesOfBothFamilies) {
  ASSERT_TRUE(Veth("v0").ok());
  const int index = GetLink(*route_, "v0").value().index;
  NetlinkBatch batch;
  SetLink(batch, "v0", {.up = true, .no_ipv6_address = true});
  for (const char* subnet : {"10.1.0.0/16", "fd01::/64"}) {
    const IpPrefix network = ParseSubnet(subnet).value();
    AddAddress(batch, index, {.address = AddressAt(network, 1), .length = network.length});
    AddDefaultRoute(batch, index, AddressAt(network, 2));
  }
  ASSERT_TRUE(route_->Run(std::move(batch)).ok());
  std::vector<std::string> addresses, defaults;
  const auto interface_addresses = ListAddresses(*route_).value();
  for (const auto& address : interface_addresses) {
    EXPECT_EQ(address.index, index);
    addresses.push_back(address.prefix.ToString());
  }
  const auto routes = ListRoutes(*route_).value();
  for (const auto& route : routes) {
    EXPECT_EQ(route.index, index) << route.destination.ToString();
    if (route.destination.length == 0) defaults.push_back(route.destination.ToString());
  }
  EXPECT_THAT(addresses, UnorderedElementsAre("10.1.0.1/16", "fd01::1/64"));
  EXPECT_THAT(defaults, UnorderedElementsAre("0.0.0.0/0", "::/0"));
}

TEST_F(NetlinkRootTest, DeletesAWholeGroupAndNothingElse) {
  ASSERT_TRUE(Veth("keep").ok());
  NetworkNamespace second, third;
  NetlinkBatch batch;
  AddVeth(batch, {.name = "v0", .peer_name = "eth0", .peer_netns_fd = second.fd()});
  AddVeth(batch, {.name = "v1", .peer_name = "eth0", .peer_netns_fd = third.fd()});
  SetLink(batch, "v0", {.group = 77});
  SetLink(batch, "v1", {.group = 77});
  DeleteLinkGroup(batch, 77);
  ASSERT_TRUE(route_->Run(std::move(batch)).ok());
  std::vector<std::string> left;
  const auto links = ListLinks(*route_).value();
  for (const Link& link : links) left.push_back(link.name);
  EXPECT_THAT(left, UnorderedElementsAre("lo", "keep"));
}

NftTransaction MakeTable(absl::string_view comment) {
  NftTransaction transaction;
  transaction.AddTable("t", comment);
  transaction.AddBaseChain(
      "t",
      {.name = "c", .type = "nat", .hook = NftHook::kPostrouting, .priority = kSourceNatPriority});
  return transaction;
}

TEST_F(NetlinkRootTest, NftTableKeepsItsComment) {
  EXPECT_TRUE(absl::IsNotFound(GetNftTableComment(*nft_, "t").status()));
  ASSERT_TRUE(MakeTable("made for a test").Commit(*nft_).ok());
  EXPECT_EQ(GetNftTableComment(*nft_, "t").value(), "made for a test");
}

TEST_F(NetlinkRootTest, NftTransactionWithAFaultChangesNothing) {
  ASSERT_TRUE(MakeTable("old").Commit(*nft_).ok());
  NftTransaction transaction;
  transaction.DeleteTable("t");
  transaction.AddTable("t", "new");
  transaction.AddRule("t", "missing", [](NftRule& rule) { rule.Masquerade(); });
  const absl::Status status = std::move(transaction).Commit(*nft_);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("create nftables rule t/missing: "));
  EXPECT_EQ(GetNftTableComment(*nft_, "t").value(), "old");
}

}  // namespace
}  // namespace berth
