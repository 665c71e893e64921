#include "src/sandbox/network/pod_traffic.h"

#include <gmock/gmock.h>

#include <array>
#include <functional>

#include "absl/time/clock.h"
#include "src/sandbox/network/host_side.h"
#include "src/sandbox/network/testing/bridge_fixture.h"

namespace berth {
namespace {

using ::testing::Contains;
using ::testing::Field;
using ::testing::Gt;
using ::testing::UnorderedElementsAre;

class PodTrafficRootTest : public BridgeRootTest {
 protected:
  void SetUp() override {
    BridgeRootTest::SetUp();
    network_ = OpenNetwork();
    for (Pod& pod : pods_) ASSERT_TRUE(Attach(*network_, pod).ok());
    ASSERT_TRUE(Eventually([&] { return Round().size() == 2 && asked_.empty(); }))
        << "the kernel never ends to greet the new links";
  }

  static bool Eventually(const std::function<bool()>& condition) {
    for (const absl::Time until = SteadyNow() + kPatience; SteadyNow() < until;) {
      if (condition()) return true;
      absl::SleepFor(absl::Milliseconds(50));
    }
    return false;
  }

  // What each pod's eth0 has counted, as of now. `asked_` are those whose namespaces were asked.
  std::vector<InterfaceCounters> Round() {
    asked_.clear();
    traffic_.Look(now_);
    std::vector<InterfaceCounters> eth0;
    for (const Pod& pod : pods_) {
      const auto counters = traffic_.Read(pod.id);
      EXPECT_TRUE(counters.ok()) << counters.status();
      for (const InterfaceCounters& one : *counters) {
        if (one.name == "eth0") eth0.push_back(one);
      }
    }
    return eth0;
  }

  absl::Time now_ = SteadyNow();
  std::array<Pod, 2> pods_;
  std::vector<std::string> asked_;
  PodTraffic traffic_{[this](absl::string_view id) {
    asked_.push_back(std::string(id));
    return ReadInterfaceCounters(pods_[pods_[0].id == id ? 0 : 1].netns.route_fd());
  }};
};

TEST_F(PodTrafficRootTest, AsksOnlyWhoHadTraffic) {
  const std::vector<InterfaceCounters> before = Round();
  EXPECT_EQ(ConnectedFrom(pods_[1].netns.fd(), host_->fd(), "10.88.0.1"), "10.88.0.3");
  const std::vector<InterfaceCounters> after = Round();
  EXPECT_THAT(asked_, Contains(pods_[1].id));
  EXPECT_THAT(after.at(1), Field(&InterfaceCounters::tx_packets, Gt(before.at(1).tx_packets)));
}

TEST_F(PodTrafficRootTest, AsksAnIdlePodNowAndThen) {
  now_ += PodTraffic::kIdle;
  Round();
  EXPECT_THAT(asked_, UnorderedElementsAre(pods_[0].id, pods_[1].id));
}

TEST_F(PodTrafficRootTest, AsksAgainWhoWasForgotten) {
  traffic_.Forget(pods_[0].id);
  Round();
  EXPECT_THAT(asked_, Contains(pods_[0].id));
}

TEST_F(PodTrafficRootTest, AlwaysAsksWhoHasNoLinkToTheHost) {
  ASSERT_TRUE(network_->Detach(pods_[0].id).ok());
  ASSERT_TRUE(Eventually([&] { return !Exists(HostLinkName(pods_[0].id)); }));
  for (int i = 0; i < 2; ++i) {
    Round();
    EXPECT_THAT(asked_, Contains(pods_[0].id));
  }
}

}  // namespace
}  // namespace berth
