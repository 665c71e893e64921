// For tests: a built-in network in a "host" namespace of the test's own, with pods that are network
// namespaces and nothing else. Needs root.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "src/base/id.h"
#include "src/kernel/netlink.h"
#include "src/kernel/rtnetlink.h"
#include "src/kernel/testing/network_namespace.h"
#include "src/sandbox/network/bridge.h"
#include "src/store/addresses.h"

namespace berth {

inline constexpr absl::Duration kPatience = absl::Seconds(60);

struct Pod {
  std::string id = NewId();
  NetworkNamespace netns;
  std::vector<std::string> addresses;
};

// What a pod asks of its network.
struct Wish {
  std::vector<PortMapping> ports;
  std::map<std::string, std::string> annotations;
  bool made_in_advance = false;
};

// A pod in a namespace that the network gave, or in one of its own where it gave none.
struct BegunPod {
  std::string id;
  UniqueFd given;
  std::optional<NetworkNamespace> own;
  std::vector<std::string> addresses;
  int netns() const { return given.valid() ? given.get() : own->fd(); }
};

class BridgeRootTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: makes network namespaces";
    std::string pattern = ::testing::TempDir() + "/bridge-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    host_ = std::make_unique<ScopedHostNamespace>();
    ASSERT_TRUE(host_->valid());
    route_.emplace(NetlinkSocket::Open(NETLINK_ROUTE).value());
    nft_.emplace(NetlinkSocket::Open(NETLINK_NETFILTER).value());
    OpenDatabase();
  }
  void TearDown() override {
    network_.reset();
    database_.reset();
    host_.reset();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  void OpenDatabase() {
    network_.reset();
    database_.reset();
    auto opened = Database::Open(directory_ + "/berth.db");
    ASSERT_TRUE(opened.ok()) << opened.status();
    database_ = *std::move(opened);
  }
  std::unique_ptr<BridgeNetwork> OpenNetwork(const BridgeNetwork::Options& options = {}) {
    auto opened = BridgeNetwork::Open(options, *database_);
    EXPECT_TRUE(opened.ok()) << opened.status();
    return *std::move(opened);
  }
  // As a daemon that was killed and started again.
  void Restart(const BridgeNetwork::Options& options = {}) {
    OpenDatabase();
    network_ = OpenNetwork(options);
  }

  absl::Status Attach(BridgeNetwork& network, Pod& pod) {
    auto addresses = network.Attach(
        {.pod_id = pod.id, .netns_fd = pod.netns.fd(), .netlink_fd = pod.netns.route_fd()});
    if (addresses.ok()) pod.addresses = *std::move(addresses);
    return addresses.status();
  }

  // Begin and Attach.
  absl::StatusOr<BegunPod> Run(BridgeNetwork& network, const Wish& wish = {}) {
    auto claim = network.Begin({.ports = wish.ports, .made_in_advance = wish.made_in_advance});
    if (!claim.ok()) return claim.status();
    BegunPod pod{.id = claim->pod_id, .given = std::move(claim->netns)};
    if (!pod.given.valid()) pod.own.emplace();
    auto addresses = network.Attach({.pod_id = pod.id,
                                     .ports = wish.ports,
                                     .annotations = wish.annotations,
                                     .netns_fd = pod.netns(),
                                     .netlink_fd = pod.own ? pod.own->route_fd() : -1});
    if (!addresses.ok()) return addresses.status();
    pod.addresses = *std::move(addresses);
    return pod;
  }

  bool Exists(absl::string_view link) { return GetLink(*route_, link).ok(); }
  std::vector<std::string> LinkNames() {
    std::vector<std::string> names;
    const auto links = ListLinks(*route_).value();
    for (const Link& link : links) names.push_back(link.name);
    return names;
  }
  std::vector<std::string> AddressesInDatabase() {
    std::vector<std::string> addresses;
    const auto rows = LoadAddressRows(*database_).value();
    for (const AddressRow& row : rows) addresses.push_back(row.address);
    return addresses;
  }

  // An interface of the host whose other end is `peer` in `netns`, up on both sides.
  int Cable(const std::string& name, NetworkNamespace& netns, const std::string& peer,
            const std::vector<std::string>& subnets, uint32_t mtu = 1500) {
    NetlinkBatch create;
    AddVeth(create, {.name = name, .mtu = mtu, .peer_name = peer, .peer_netns_fd = netns.fd()});
    EXPECT_TRUE(route_->Run(std::move(create)).ok());
    const int index = GetLink(*route_, name).value().index;
    const int peer_index = GetLink(netns.route(), peer).value().index;
    NetlinkBatch here, there;
    SetLink(here, name, {.up = true});
    SetLink(there, peer, {.up = true});
    for (const std::string& text : subnets) {
      const IpPrefix subnet = ParseSubnet(text).value();
      AddAddress(here, index, {.address = AddressAt(subnet, 1), .length = subnet.length});
      AddAddress(there, peer_index, {.address = AddressAt(subnet, 2), .length = subnet.length});
    }
    EXPECT_TRUE(route_->Run(std::move(here)).ok());
    EXPECT_TRUE(netns.route().Run(std::move(there)).ok());
    return index;
  }

  std::string directory_;
  std::unique_ptr<ScopedHostNamespace> host_;
  std::optional<NetlinkSocket> route_, nft_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<BridgeNetwork> network_;
};

}  // namespace berth
