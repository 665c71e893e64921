#include "src/store/pods.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "src/store/testing/database_fixture.h"

namespace berth {
namespace {

using ::testing::IsEmpty;

class PodRowsTest : public DatabaseFixture {
 protected:
  static PodRow MakePod(const std::string& id) {
    return {.id = id,
            .name = "name-" + id,
            .created_at = 7,
            .config = std::string("c\0g", 3),
            .status = "{}"};
  }
  static ContainerRow MakeContainer(const std::string& id, const std::string& pod) {
    return {.id = id,
            .pod_id = pod,
            .name = "name-" + id,
            .created_at = 8,
            .config = std::string("\0", 1),
            .image = "{\"i\":1}",
            .status = "{}"};
  }
};

TEST_F(PodRowsTest, ComeBackAfterARestart) {
  ASSERT_TRUE(InsertPod(*database_, MakePod("p")).ok());
  ASSERT_TRUE(InsertContainer(*database_, MakeContainer("c", "p")).ok());
  Reopen();
  const std::vector<PodRow> pods = LoadPods(*database_).value();
  ASSERT_EQ(pods.size(), 1u);
  EXPECT_EQ(pods[0].name, "name-p");
  EXPECT_EQ(pods[0].created_at, 7);
  EXPECT_EQ(pods[0].config, std::string("c\0g", 3));
  const std::vector<ContainerRow> containers = LoadContainers(*database_).value();
  ASSERT_EQ(containers.size(), 1u);
  EXPECT_EQ(containers[0].pod_id, "p");
  EXPECT_EQ(containers[0].config, std::string("\0", 1));
  EXPECT_EQ(containers[0].image, "{\"i\":1}");
}

TEST_F(PodRowsTest, ANameIsTakenOnce) {
  ASSERT_TRUE(InsertPod(*database_, MakePod("p")).ok());
  PodRow same_name = MakePod("q");
  same_name.name = "name-p";
  EXPECT_EQ(InsertPod(*database_, same_name).code(), absl::StatusCode::kAlreadyExists);
  ASSERT_TRUE(InsertContainer(*database_, MakeContainer("c", "p")).ok());
  EXPECT_EQ(InsertContainer(*database_, MakeContainer("c", "p")).code(),
            absl::StatusCode::kAlreadyExists);
}

TEST_F(PodRowsTest, AStatusIsReplacedAndNothingElse) {
  ASSERT_TRUE(InsertPod(*database_, MakePod("p")).ok());
  ASSERT_TRUE(InsertPod(*database_, MakePod("q")).ok());
  ASSERT_TRUE(InsertContainer(*database_, MakeContainer("c", "p")).ok());
  ASSERT_TRUE(UpdatePodStatus(*database_, "p", "new").ok());
  ASSERT_TRUE(UpdateContainerStatus(*database_, "c", "newer").ok());
  const std::vector<PodRow> pods = LoadPods(*database_).value();
  for (const PodRow& pod : pods) EXPECT_EQ(pod.status, pod.id == "p" ? "new" : "{}");
  EXPECT_EQ(LoadContainers(*database_)->at(0).status, "newer");
  EXPECT_EQ(LoadContainers(*database_)->at(0).image, "{\"i\":1}");
}

TEST_F(PodRowsTest, WhatWasDamagedIsRewrittenAndTheNameStays) {
  ASSERT_TRUE(InsertPod(*database_, MakePod("p")).ok());
  ASSERT_TRUE(InsertContainer(*database_, MakeContainer("c", "p")).ok());
  ASSERT_TRUE(
      RewritePod(*database_, {.id = "p", .name = "other", .config = "good", .status = "s"}).ok());
  ASSERT_TRUE(
      RewriteContainer(*database_, {.id = "c", .config = "good", .image = "i", .status = "s"})
          .ok());
  const PodRow pod = LoadPods(*database_)->at(0);
  EXPECT_EQ(pod.name, "name-p");
  EXPECT_EQ(pod.config, "good");
  EXPECT_EQ(pod.status, "s");
  const ContainerRow container = LoadContainers(*database_)->at(0);
  EXPECT_EQ(container.pod_id, "p");
  EXPECT_EQ(container.config, "good");
  EXPECT_EQ(container.image, "i");
  EXPECT_EQ(container.status, "s");
}

TEST_F(PodRowsTest, AContainerNeedsItsPodAndKeepsIt) {
  EXPECT_EQ(InsertContainer(*database_, MakeContainer("c", "none")).code(),
            absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(InsertPod(*database_, MakePod("p")).ok());
  ASSERT_TRUE(InsertContainer(*database_, MakeContainer("c", "p")).ok());
  EXPECT_EQ(DeletePod(*database_, "p").code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(DeleteContainer(*database_, "c").ok());
  ASSERT_TRUE(DeletePod(*database_, "p").ok());
  EXPECT_THAT(*LoadPods(*database_), IsEmpty());
}

TEST_F(PodRowsTest, ChangesOfWhatIsNotThereAreFine) {
  EXPECT_TRUE(UpdatePodStatus(*database_, "none", "x").ok());
  EXPECT_TRUE(DeletePod(*database_, "none").ok());
  EXPECT_TRUE(DeleteContainer(*database_, "none").ok());
}

TEST_F(PodRowsTest, NodeValuesAreReplaced) {
  EXPECT_EQ(*ReadNodeValue(*database_, "k"), "");
  ASSERT_TRUE(WriteNodeValue(*database_, "k", "1").ok());
  ASSERT_TRUE(WriteNodeValue(*database_, "k", "2").ok());
  Reopen();
  EXPECT_EQ(*ReadNodeValue(*database_, "k"), "2");
}

}  // namespace
}  // namespace berth
