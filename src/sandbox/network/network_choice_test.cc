#include "src/sandbox/network/network_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// What was called, in order.
using Calls = std::vector<std::string>;

class Noting : public Network {
 public:
  absl::StatusOr<NetworkClaim> Begin(const PodBeginning&) override {
    calls.push_back("begin");
    return NetworkClaim{.pod_id = "built-in"};
  }
  absl::StatusOr<std::vector<std::string>> Attach(const PodAttachment& pod) override {
    calls.push_back("attach " + pod.pod_id);
    return std::vector<std::string>{"10.0.0.1"};
  }
  absl::Status Detach(absl::string_view pod_id) override {
    calls.push_back("detach " + std::string(pod_id));
    return absl::OkStatus();
  }
  void Adopt(absl::string_view pod_id, const std::vector<PortMapping>&) override {
    calls.push_back("adopt " + std::string(pod_id));
  }
  void Reconcile(const absl::flat_hash_set<std::string>& live) override {
    calls.push_back("reconcile " + std::to_string(live.size()));
  }
  absl::Status RemoveIfUnused() override { return absl::OkStatus(); }
  NetworkReadiness Readiness() const override { return {}; }

  Calls calls;
};

class NotingCni : public CniNetwork {
 public:
  absl::StatusOr<NetworkClaim> Begin(const PodBeginning&) override {
    calls.push_back("begin");
    return NetworkClaim();
  }
  absl::StatusOr<std::vector<std::string>> Attach(const PodAttachment& pod) override {
    calls.push_back("attach");
    attached = pod.pod_id;
    return std::vector<std::string>{"10.1.0.1"};
  }
  absl::Status Detach(absl::string_view) override { return absl::OkStatus(); }
  void Adopt(absl::string_view pod_id, const std::vector<PortMapping>&) override {
    calls.push_back("adopt " + std::string(pod_id));
  }
  void Reconcile(const absl::flat_hash_set<std::string>& live) override {
    calls.push_back("reconcile " + std::to_string(live.size()));
  }
  absl::Status RemoveIfUnused() override { return absl::OkStatus(); }
  NetworkReadiness Readiness() const override { return {.ready = false, .message = "not yet"}; }
  bool Has(absl::string_view pod_id) const override { return pod_id == attached; }
  bool HasConfig() const override { return has_config; }
  Counts counts() const override { return {}; }

  Calls calls;
  std::string attached;
  bool has_config = false;
};

TEST(NetworkChoice, PodGetsTheNetworkThatItBeganWith) {
  Noting built_in;
  NotingCni cni;
  NetworkChoice choice(NetworkMode::kAuto, built_in, cni);
  const auto first = choice.Begin({});
  ASSERT_TRUE(first.ok()) << first.status();
  cni.has_config = true;
  const auto second = choice.Begin({});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_FALSE(second->pod_id.empty());
  cni.has_config = false;
  EXPECT_THAT(*choice.Attach({.pod_id = first->pod_id}), ElementsAre("10.0.0.1"));
  EXPECT_THAT(*choice.Attach({.pod_id = second->pod_id}), ElementsAre("10.1.0.1"));
  EXPECT_THAT(built_in.calls, ElementsAre("begin", "attach built-in"));
  EXPECT_THAT(cni.calls, ElementsAre("begin", "attach"));
  EXPECT_EQ(cni.attached, second->pod_id);
}

TEST(NetworkChoice, ModeDecidesWhetherAConfigurationIsWaitedFor) {
  for (const auto& [mode, has_config, ready] :
       {std::tuple(NetworkMode::kAuto, false, true), std::tuple(NetworkMode::kAuto, true, false),
        std::tuple(NetworkMode::kBuiltIn, true, true),
        std::tuple(NetworkMode::kCni, false, false)}) {
    Noting built_in;
    NotingCni cni;
    cni.has_config = has_config;
    EXPECT_EQ(NetworkChoice(mode, built_in, cni).Readiness().ready, ready);
  }
}

TEST(NetworkChoice, AtStartEachNetworkIsToldOfItsOwnPods) {
  Noting built_in;
  NotingCni cni;
  cni.attached = "a";
  NetworkChoice choice(NetworkMode::kAuto, built_in, cni);
  choice.Adopt("a", {});
  EXPECT_THAT(built_in.calls, IsEmpty());
  choice.Adopt("b", {});
  choice.Reconcile({"a", "b", "c"});
  EXPECT_THAT(built_in.calls, ElementsAre("adopt b", "reconcile 2"));
  EXPECT_THAT(cni.calls, ElementsAre("adopt a", "reconcile 3"));
}

TEST(NetworkChoice, RefusesAPodCidrThatIsNoSubnet) {
  Noting built_in;
  NotingCni cni;
  NetworkChoice choice(NetworkMode::kAuto, built_in, cni);
  EXPECT_TRUE(choice.SetPodCidrs({"10.1.0.0/24", "fd00::/64"}).ok());
  for (const char* wrong : {"", "10.1.0.0", "10.1.0.1/24", "pods"})
    EXPECT_TRUE(absl::IsInvalidArgument(choice.SetPodCidrs({"10.1.0.0/24", wrong}))) << wrong;
}

}  // namespace
}  // namespace berth
