#include "src/cli/targets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/cli/failure.h"
#include "src/cli/run_config.h"

namespace berth::cli {
namespace {

using testing::HasSubstr;

const std::vector<Target>& Node() {
  static const std::vector<Target> targets = {
      {.kind = TargetKind::kPod, .id = "abc1", .name = "web-0", .pod_namespace = "shop"},
      {.kind = TargetKind::kPod, .id = "abd2", .name = "solo"},
      {.kind = TargetKind::kContainer,
       .id = "cab3",
       .name = "web",
       .pod_name = "web-0",
       .pod_namespace = "shop"},
      {.kind = TargetKind::kContainer, .id = "cac4", .name = "web", .pod_name = "web-1"},
      {.kind = TargetKind::kContainer, .id = "ddd5", .name = "solo", .pod_name = "solo"},
      {.kind = TargetKind::kContainer, .id = "eee6", .name = "ddd", .pod_name = "web-1"},
      {.kind = TargetKind::kContainer, .id = "abc", .name = "short", .pod_name = "web-1"},
  };
  return targets;
}

struct FindCase {
  const char* name;
  const char* query;
  Accept accept;
  const char* id;  // nullptr: not found; "": ambiguous
};

class FindTargetTest : public testing::TestWithParam<FindCase> {};

TEST_P(FindTargetTest, FindsWhatIsMeant) {
  const auto found = FindTarget(Node(), GetParam().query, GetParam().accept);
  if (GetParam().id == nullptr) {
    EXPECT_EQ(found.status().code(), absl::StatusCode::kNotFound);
  } else if (*GetParam().id == '\0') {
    EXPECT_EQ(found.status().code(), absl::StatusCode::kInvalidArgument);
  } else {
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->id, GetParam().id);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Queries, FindTargetTest,
    testing::Values(FindCase{"Prefix", "ca", Accept::kBoth, ""},
                    FindCase{"LongerPrefix", "cab", Accept::kBoth, "cab3"},
                    FindCase{"FullIdBeatsPrefix", "abc", Accept::kBoth, "abc"},
                    FindCase{"PodPrefixAmongPods", "abc", Accept::kPods, "abc1"},
                    FindCase{"NameBeatsPrefix", "ddd", Accept::kBoth, "eee6"},
                    FindCase{"NameTwice", "web", Accept::kBoth, ""},
                    FindCase{"PodAndName", "web-1/web", Accept::kContainers, "cac4"},
                    FindCase{"NamespaceAndPod", "shop/web-0", Accept::kBoth, "abc1"},
                    FindCase{"NamespacePodAndName", "shop/web-0/web", Accept::kBoth, "cab3"},
                    FindCase{"OtherNamespace", "default/web-0", Accept::kBoth, nullptr},
                    FindCase{"ContainerBeforePodOfThatName", "solo", Accept::kBoth, "ddd5"},
                    FindCase{"PodOfThatName", "solo", Accept::kPods, "abd2"},
                    FindCase{"PodIsNoContainer", "web-0", Accept::kContainers, nullptr},
                    FindCase{"Nothing", "zzz", Accept::kBoth, nullptr},
                    FindCase{"Empty", "", Accept::kBoth, nullptr}),
    [](const auto& info) { return info.param.name; });

TEST(FindTarget, ListsTheMatchesOfAnAmbiguousName) {
  const auto found = FindTarget(Node(), "web", Accept::kBoth);
  EXPECT_THAT(HintOf(found.status()), HasSubstr("container cab3 (web), container cac4 (web)"));
}

TEST(MakeTargets, JoinsContainersToTheirPods) {
  cri::ListPodSandboxResponse pods;
  cri::PodSandbox* pod = pods.add_items();
  pod->set_id("p1");
  pod->mutable_metadata()->set_name("solo");
  pod->mutable_metadata()->set_uid(std::string(64, 'a'));
  (*pod->mutable_labels())["berth/run"] = "solo";
  cri::ListContainersResponse containers;
  cri::Container* container = containers.add_containers();
  container->set_id("c1");
  container->set_pod_sandbox_id("p1");
  container->set_state(cri::CONTAINER_RUNNING);
  container->mutable_metadata()->set_name("solo");
  const auto targets = MakeTargets(containers, pods);
  ASSERT_EQ(targets.size(), 2u);
  EXPECT_TRUE(targets[1].run_pod);
  EXPECT_TRUE(targets[1].running);
  EXPECT_EQ(targets[1].pod_uid, std::string(64, 'a'));
  EXPECT_EQ(targets[1].pod_name, "solo");
}

TEST(ShortId, HasThirteenCharacters) {
  EXPECT_EQ(ShortId("sha256:0123456789abcdef"), "0123456789abc");
  EXPECT_EQ(ShortId("01"), "01");
}

}  // namespace
}  // namespace berth::cli
