// Pod networks that are made before their pods.
#include <fcntl.h>
#include <gmock/gmock.h>

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "src/base/steady_time.h"
#include "src/kernel/file.h"
#include "src/kernel/pod_network_settings.h"
#include "src/sandbox/network/host_side.h"
#include "src/sandbox/network/testing/bridge_fixture.h"
#include "src/sandbox/network/testing/exchange.h"

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

const Wish kInAdvance = {.made_in_advance = true};

class ReadyPoolRootTest : public BridgeRootTest {
 protected:
  static BridgeNetwork::Options WithPool(size_t size) { return {.pool_size = size}; }
  bool AwaitReady(int64_t count) {
    const absl::Time deadline = SteadyNow() + kPatience;
    while (network_->counts().ready != count && SteadyNow() < deadline)
      absl::SleepFor(absl::Milliseconds(5));
    return network_->counts().ready == count;
  }
  int PodLinks() {
    int links = 0;
    for (const std::string& name : LinkNames()) links += absl::StartsWith(name, "bth");
    return links;
  }
};

TEST_F(ReadyPoolRootTest, LeavesTheNodeAloneUntilTheFirstPod) {
  network_ = OpenNetwork(WithPool(3));
  EXPECT_THAT(LinkNames(), ElementsAre("lo"));
  EXPECT_EQ(network_->counts().ready, 0);
}

TEST_F(ReadyPoolRootTest, PodsGetWhatIsReadyAndReachEachOther) {
  network_ = OpenNetwork(WithPool(3));
  auto first = Run(*network_, kInAdvance);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(AwaitReady(3));
  auto second = Run(*network_, kInAdvance);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(network_->counts().taken_ready, 1);
  EXPECT_EQ(network_->counts().made_at_once, 1);
  EXPECT_TRUE(Exists(HostLinkName(second->id)));
  for (int family = 0; family < 2; ++family) {
    EXPECT_EQ(ConnectedFrom(second->netns(), first->netns(), first->addresses[family]),
              second->addresses[family]);
    EXPECT_EQ(ConnectedFrom(host_->fd(), second->netns(), second->addresses[family]),
              family == 0 ? "10.88.0.1" : "fd88::1");
  }
  EXPECT_EQ(ConnectedFrom(second->netns(), second->netns(), "127.0.0.1"), "127.0.0.1");
}

TEST_F(ReadyPoolRootTest, NobodyReachesWhatWaits) {
  network_ = OpenNetwork(WithPool(1));
  auto pod = Run(*network_, kInAdvance);
  ASSERT_TRUE(pod.ok()) << pod.status();
  ASSERT_TRUE(AwaitReady(1));
  EXPECT_EQ(PodLinks(), 2);
  for (const std::string& name : LinkNames()) {
    if (!absl::StartsWith(name, "bth")) continue;
    EXPECT_EQ((GetLink(*route_, name).value().flags & IFF_UP) != 0, name == HostLinkName(pod->id));
  }
  // An address without a row may only wait.
  EXPECT_THAT(AddressesInDatabase(), UnorderedElementsAre(pod->addresses[0], pod->addresses[1]));
}

TEST_F(ReadyPoolRootTest, PodStartsWithTheSettingsOfOneThatWasNotMadeInAdvance) {
  network_ = OpenNetwork(WithPool(1));
  auto pod = Run(*network_, kInAdvance);
  ASSERT_TRUE(pod.ok()) << pod.status();
  std::thread([&] {
    ASSERT_EQ(::setns(pod->netns(), CLONE_NEWNET), 0);
    for (const NetworkSetting& setting : kPodNetworkSettings) {
      EXPECT_EQ(
          absl::StrReplaceAll(
              ReadFileAt(AT_FDCWD, absl::StrCat("/proc/sys/",
                                                absl::StrReplaceAll(setting.name, {{".", "/"}})))
                  .value(),
              {{"\t", " "}}),
          absl::StrCat(setting.value, "\n"))
          << setting.name;
    }
    for (const char* interface : {"default", "eth0"}) {
      for (const char* setting : {"accept_ra", "accept_dad"}) {
        EXPECT_EQ(
            ReadFileAt(AT_FDCWD, absl::StrCat("/proc/sys/net/ipv6/conf/", interface, "/", setting))
                .value(),
            "0\n")
            << interface << " " << setting;
      }
    }
    // Nothing has come in while it waited.
    NetlinkSocket route = NetlinkSocket::Open(NETLINK_ROUTE).value();
    EXPECT_EQ(GetLink(route, "eth0").value().mtu, 1500u);
  }).join();
}

TEST_F(ReadyPoolRootTest, IsNeverHandedOutTwice) {
  network_ = OpenNetwork(WithPool(4));
  constexpr int kPods = 24;
  std::vector<absl::StatusOr<BegunPod>> pods(kPods);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = thread; i < kPods; i += 4) pods[i] = Run(*network_, kInAdvance);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<std::string> ids, addresses;
  for (const auto& pod : pods) {
    ASSERT_TRUE(pod.ok()) << pod.status();
    ids.insert(pod->id);
    addresses.insert(pod->addresses.begin(), pod->addresses.end());
  }
  EXPECT_EQ(ids.size(), size_t{kPods});
  EXPECT_EQ(addresses.size(), size_t{2 * kPods});
}

TEST_F(ReadyPoolRootTest, WhatAPodHadIsNotGivenToAnother) {
  network_ = OpenNetwork(WithPool(2));
  auto pod = Run(*network_, kInAdvance);
  ASSERT_TRUE(pod.ok()) << pod.status();
  ASSERT_TRUE(AwaitReady(2));
  network_->Detach(pod->id).IgnoreError();
  ASSERT_TRUE(network_->WaitUntilReaped(kPatience).ok());
  EXPECT_EQ(network_->counts().ready, 2);
  EXPECT_EQ(PodLinks(), 2);
  EXPECT_FALSE(Exists(HostLinkName(pod->id)));
}

TEST_F(ReadyPoolRootTest, AbandonedAfterBeginLeavesNothing) {
  network_ = OpenNetwork(WithPool(0));
  auto claim = network_->Begin({.made_in_advance = true});
  ASSERT_TRUE(claim.ok()) << claim.status();
  EXPECT_TRUE(Exists(HostLinkName(claim->pod_id)));
  network_->Detach(claim->pod_id).IgnoreError();
  ASSERT_TRUE(network_->RemoveIfUnused().ok());
  EXPECT_THAT(LinkNames(), ElementsAre("lo"));
}

TEST_F(ReadyPoolRootTest, GivesItsAddressesToPodsThatCannotWait) {
  BridgeNetwork::Options options = WithPool(2);
  options.ipv4_subnet = "10.7.0.0/29";  // five pods
  network_ = OpenNetwork(options);
  std::vector<BegunPod> pods;
  auto first = Run(*network_, kInAdvance);
  ASSERT_TRUE(first.ok()) << first.status();
  pods.push_back(*std::move(first));
  ASSERT_TRUE(AwaitReady(2));
  while (pods.size() < 5) {
    auto pod = Run(*network_);  // as a pod with a user namespace
    ASSERT_TRUE(pod.ok()) << pod.status();
    pods.push_back(*std::move(pod));
  }
  EXPECT_EQ(Run(*network_).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Run(*network_, kInAdvance).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ConnectedFrom(pods[4].netns(), pods[0].netns(), pods[0].addresses[0]),
            pods[4].addresses[0]);
}

TEST_F(ReadyPoolRootTest, EndsWithTheNetwork) {
  network_ = OpenNetwork(WithPool(3));
  auto pod = Run(*network_, kInAdvance);
  ASSERT_TRUE(pod.ok()) << pod.status();
  ASSERT_TRUE(AwaitReady(3));
  EXPECT_EQ(PodLinks(), 4);
  // As a daemon that ends or is killed while a pod runs: what waits dies with the descriptors.
  Restart(WithPool(0));
  network_->Reconcile({pod->id});
  ASSERT_TRUE(network_->WaitUntilReaped(kPatience).ok());
  const absl::Time deadline = SteadyNow() + kPatience;
  while (PodLinks() > 1 && SteadyNow() < deadline) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_THAT(LinkNames(), UnorderedElementsAre("lo", "berth0", HostLinkName(pod->id)));
}

TEST_F(ReadyPoolRootTest, NothingIsLeftAfterRemoval) {
  network_ = OpenNetwork(WithPool(3));
  auto pod = Run(*network_, kInAdvance);
  ASSERT_TRUE(pod.ok()) << pod.status();
  ASSERT_TRUE(AwaitReady(3));
  network_->Detach(pod->id).IgnoreError();
  ASSERT_TRUE(network_->RemoveIfUnused().ok());
  EXPECT_THAT(LinkNames(), ElementsAre("lo"));
  EXPECT_THAT(AddressesInDatabase(), IsEmpty());
}

TEST_F(ReadyPoolRootTest, GoesOnAfterSomebodyRemovedTheBridge) {
  network_ = OpenNetwork(WithPool(2));
  auto first = Run(*network_, kInAdvance);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(AwaitReady(2));
  NetlinkBatch batch;
  DeleteLink(batch, GetLink(*route_, "berth0").value().index);
  ASSERT_TRUE(route_->Run(std::move(batch)).ok());
  auto second = Run(*network_, kInAdvance);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(ConnectedFrom(second->netns(), host_->fd(), "10.88.0.1"), second->addresses[0]);
}

TEST_F(ReadyPoolRootTest, FollowsTheConfiguredMtu) {
  BridgeNetwork::Options options = WithPool(1);
  options.mtu = 1400;
  network_ = OpenNetwork(options);
  auto pod = Run(*network_, kInAdvance);
  ASSERT_TRUE(pod.ok()) << pod.status();
  EXPECT_EQ(GetLink(*route_, "berth0").value().mtu, 1400u);
  EXPECT_EQ(GetLink(*route_, HostLinkName(pod->id)).value().mtu, 1400u);
}

}  // namespace
}  // namespace berth
