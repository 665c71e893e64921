// How damage of a layer is found and mended.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/image/image_details.h"
#include "src/image/image_store.h"
#include "src/image/testing/image_store_fixture.h"
#include "src/image/testing/registry_stub.h"
#include "src/store/pods.h"

namespace berth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;
using testing_image::MakeImage;
using testing_image::StubImage;

TEST_F(ImageStoreTest, ALayerDamagedByAnUncleanStopIsFetchedAnew) {
  const StubImage image = MakeImage({{kBaseTar}, {kAppTar}});
  const std::string id = PullOk(image);
  EXPECT_THAT(Names("trees"), UnorderedElementsAre("1", "2"));
  const std::string file = data_ + "/layers/2/app/run";
  ASSERT_EQ(::truncate(file.c_str(), 0), 0);
  store_.reset();
  ASSERT_TRUE(WriteNodeValue(*database_, "layers", "the boot before").ok());
  Reopen();
  while (absl::StrContains(store_->Find(id)->layers[1], "layers/2")) std::this_thread::yield();
  const auto repaired = store_->Find(id);
  EXPECT_THAT(repaired->layers, ElementsAre("layers/1", "layers/3"));
  EXPECT_THAT(repaired->repo_tags, ElementsAre(Ref("team/app:v1")));
  EXPECT_EQ(Read("layers/3/app/run"), "run me");
}

TEST_F(ImageStoreTest, ADamagedLayerThatCannotBeFetchedIsTriedAgainAndItsImageStays) {
  const StubImage image = MakeImage({{kBaseTar}});
  const std::string id = PullOk(image);
  ASSERT_EQ(::truncate((data_ + "/layers/1/bin").c_str(), 1), 0);
  for (const auto& [digest, bytes] : image.blobs)
    registry_.Serve("/v2/team/app/blobs/" + digest, {.status = 404});
  store_.reset();
  ASSERT_TRUE(WriteNodeValue(*database_, "layers", "the boot before").ok());
  const size_t before = registry_.requests().size();
  Reopen();
  while (registry_.requests().size() == before) std::this_thread::yield();
  EXPECT_THAT(store_->List(), SizeIs(1));
  registry_.Publish("team/app", "v1", image);
  Reopen();
  while (store_->Find(id)->layers[0] == "layers/1") std::this_thread::yield();
  EXPECT_EQ(Read(store_->Find(id)->layers[0] + "/bin"), "binary");
}

TEST_F(ImageStoreTest, VerifyTellsEachLayerAndRepairsOnDemand) {
  const StubImage image = MakeImage({{kBaseTar}, {kAppTar}});
  const std::string id = PullOk(image);
  std::vector<std::string> told;
  const auto verify = [&](bool repair) {
    told.clear();
    const absl::Status status = store_->Verify(
        id, repair,
        [&](const LayerState& state) {
          told.push_back(absl::StrCat(state.directory, " ", VerdictName(state.verdict),
                                      state.detail.empty() ? "" : ": ", state.detail));
        },
        nullptr);
    EXPECT_TRUE(status.ok()) << status;
  };
  verify(false);
  EXPECT_THAT(told, ElementsAre("layers/1 ok", "layers/2 ok"));
  ASSERT_EQ(::chmod((data_ + "/layers/2/app/run").c_str(), 0700), 0);
  verify(false);
  EXPECT_THAT(
      told, ElementsAre("layers/1 ok", "layers/2 damaged: app/run has mode 0700 instead of 0755"));
  EXPECT_TRUE(store_->Inspect(id)->layers[1].damaged);
  verify(true);
  EXPECT_THAT(told[1], HasSubstr("layers/2 repaired"));
  verify(false);
  EXPECT_THAT(told, ElementsAre("layers/1 ok", "layers/3 ok"));
  ASSERT_EQ(::unlink((data_ + "/trees/1").c_str()), 0);
  verify(true);
  EXPECT_THAT(told[0], HasSubstr("layers/1 unknown"));
}

TEST_F(ImageStoreTest, AKeptBlobMendsItsLayerWithoutTheRegistry) {
  options_.keep_blobs = true;
  Reopen();
  const std::string id = PullOk(MakeImage({{kBaseTar}, {kAppTar}}));
  EXPECT_THAT(Names("blobs"), SizeIs(2));
  const size_t asked = registry_.requests().size();
  const std::string damaged = store_->Find(id)->layers[0];
  ASSERT_EQ(::unlink((data_ + "/" + damaged + "/etc/passwd").c_str()), 0);

  std::vector<LayerState::Verdict> verdicts;
  ASSERT_TRUE(store_
                  ->Verify(
                      id, /*repair=*/true,
                      [&](const LayerState& state) { verdicts.push_back(state.verdict); },
                      [] { return false; })
                  .ok());
  EXPECT_THAT(verdicts,
              UnorderedElementsAre(LayerState::Verdict::kRepaired, LayerState::Verdict::kOk));
  EXPECT_EQ(registry_.requests().size(), asked) << "the registry was not needed";
  const auto mended = store_->Find(id);
  ASSERT_TRUE(mended.ok()) << mended.status();
  EXPECT_NE(mended->layers[0], damaged);
  EXPECT_EQ(Read(mended->layers[0] + "/etc/passwd"), "root:x:0:0::/root:\n");

  ASSERT_TRUE(store_->Remove(id, NotInUse).ok());
  EXPECT_THAT(Names("blobs"), IsEmpty());
  EXPECT_EQ(store_->DiskUsage().used_bytes, 0);
}

TEST_F(ImageStoreTest, AKeptBlobThatIsDamagedItselfIsFetchedAnew) {
  options_.keep_blobs = true;
  Reopen();
  const std::string id = PullOk(MakeImage({{kBaseTar}}));
  ASSERT_THAT(Names("blobs"), SizeIs(1));
  ASSERT_EQ(::truncate((data_ + "/blobs/" + Names("blobs")[0]).c_str(), 5), 0);
  ASSERT_EQ(::unlink((data_ + "/" + store_->Find(id)->layers[0] + "/etc/passwd").c_str()), 0);
  std::vector<LayerState::Verdict> verdicts;
  ASSERT_TRUE(store_
                  ->Verify(
                      id, /*repair=*/true,
                      [&](const LayerState& state) { verdicts.push_back(state.verdict); },
                      [] { return false; })
                  .ok());
  EXPECT_THAT(verdicts, ElementsAre(LayerState::Verdict::kRepaired));
  EXPECT_EQ(CountBlobRequests(kBaseTar), 2);
  EXPECT_GT(Stat("blobs/" + Names("blobs")[0]).st_size, 5);
}

}  // namespace
}  // namespace berth
