// What the store has, by which names, and how it goes again.
#include <fcntl.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/image/digest.h"
#include "src/image/image_details.h"
#include "src/image/image_store.h"
#include "src/image/testing/image_store_fixture.h"
#include "src/image/testing/registry_stub.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing_image::MakeImage;
using testing_image::StubImage;

TEST_F(ImageStoreTest, PulledImageIsFoundByEveryKindOfName) {
  const StubImage image =
      MakeImage({{kBaseTar}, {kAppTar}}, R"({"Cmd":["/app/run"],"User":"1000"})");
  const std::string id = PullOk(image);
  EXPECT_EQ(id, image.id());
  const std::string digest_name = absl::StrCat(Ref("team/app"), "@", image.manifest_digest());
  for (const std::string& reference :
       {Ref("team/app:v1"), digest_name, id, id.substr(7), id.substr(7, 12), id.substr(0, 15),
        absl::StrCat(Ref("team/app:other"), "@", image.manifest_digest())}) {
    const auto found = store_->Find(reference);
    ASSERT_TRUE(found.ok()) << reference << ": " << found.status();
    EXPECT_EQ(found->id, id);
    EXPECT_THAT(found->repo_tags, ElementsAre(Ref("team/app:v1")));
    EXPECT_THAT(found->repo_digests, ElementsAre(digest_name));
    EXPECT_THAT(found->config.cmd, ElementsAre("/app/run"));
    EXPECT_EQ(found->config.user, "1000");
    EXPECT_GT(found->size_bytes, 0);
  }
}

TEST_F(ImageStoreTest, UnknownImageIsNotFound) {
  EXPECT_EQ(store_->Find("nothing:here").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->Find("abcdef").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->Find("!!").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ImageStoreTest, ImageIsThereAfterARestart) {
  const std::string id = PullOk(MakeImage({{kBaseTar}}));
  Reopen();
  const auto found = store_->Find(Ref("team/app:v1"));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->id, id);
  EXPECT_EQ(Read(found->layers[0] + "/etc/passwd"), "root:x:0:0::/root:\n");
}

TEST_F(ImageStoreTest, PullByDigestHasNoTag) {
  const StubImage image = MakeImage({{kBaseTar}});
  registry_.Publish("team/app", "v1", image);
  const auto id = Pull("team/app@" + image.manifest_digest());
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_THAT(store_->Find(*id)->repo_tags, IsEmpty());
  EXPECT_THAT(store_->Find(*id)->repo_digests, SizeIs(1));
}

TEST_F(ImageStoreTest, TagThatMovedLeavesTheOldImageUntagged) {
  const std::string old_id = PullOk(MakeImage({{kBaseTar}}));
  const std::string new_id = PullOk(MakeImage({{kAppTar}}));
  EXPECT_EQ(store_->Find(Ref("team/app:v1"))->id, new_id);
  EXPECT_THAT(store_->Find(old_id)->repo_tags, IsEmpty());
  EXPECT_THAT(store_->Find(old_id)->repo_digests, SizeIs(1));
}

TEST_F(ImageStoreTest, RemoveTakesAllNamesAndTheLayersNobodyElseHas) {
  const std::string app_id = PullOk(MakeImage({{kBaseTar}, {kAppTar}}), "team/app");
  const std::string base_id = PullOk(MakeImage({{kBaseTar}}), "team/base");
  PullOk(MakeImage({{kBaseTar}, {kAppTar}}), "team/alias");
  EXPECT_THAT(store_->Find(app_id)->repo_tags, SizeIs(2));
  ASSERT_TRUE(store_->Remove(Ref("team/alias:v1"), NotInUse).ok());
  EXPECT_EQ(store_->Find(app_id).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->Find(Ref("team/app:v1")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Names("layers"), SizeIs(1));
  EXPECT_EQ(Read(store_->Find(base_id)->layers[0] + "/bin"), "binary");
}

TEST_F(ImageStoreTest, RemoveOfTheUnknownIsFine) {
  EXPECT_TRUE(store_->Remove("never:seen", NotInUse).ok());
  EXPECT_TRUE(store_->Remove(std::string(64, 'a'), NotInUse).ok());
}

TEST_F(ImageStoreTest, RemoveOfAnImageInUseIsRefused) {
  const std::string id = PullOk(MakeImage({{kBaseTar}}));
  const absl::Status status =
      store_->Remove(id, [&](absl::string_view used) { return used == id; });
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_TRUE(store_->Find(id).ok());
}

TEST_F(ImageStoreTest, LeaseKeepsTheLayersOfARemovedImage) {
  const std::string id = PullOk(MakeImage({{kBaseTar}}));
  auto lease = store_->Lease(id);
  ASSERT_TRUE(lease.ok()) << lease.status();
  ASSERT_TRUE(store_->Remove(id, NotInUse).ok());
  EXPECT_FALSE(store_->Find(id).ok());
  EXPECT_EQ(Read(lease->first.layers[0] + "/bin"), "binary");
  { const ImageLease ended = std::move(lease->second); }
  // The sweep runs behind the caller's back; whatever it has not done, the next start does.
  Reopen();
  EXPECT_THAT(Names("layers"), IsEmpty());
}

TEST_F(ImageStoreTest, RemovedImageCanBePulledAgain) {
  const StubImage image = MakeImage({{kBaseTar}});
  const std::string id = PullOk(image);
  ASSERT_TRUE(store_->Remove(id, NotInUse).ok());
  EXPECT_EQ(PullOk(image), id);
  EXPECT_EQ(Read(store_->Find(id)->layers[0] + "/bin"), "binary");
}

TEST_F(ImageStoreTest, LeftoversOfACrashAreThrownAway) {
  const std::string id = PullOk(MakeImage({{kBaseTar}}));
  ASSERT_TRUE(MakeDirs(data_ + "/pull/0123/0/etc", 0755).ok());
  ASSERT_TRUE(MakeDirs(data_ + "/layers/77/etc", 0755).ok());
  ASSERT_TRUE(MakeDirs(data_ + "/layers/strange", 0755).ok());
  Reopen();
  EXPECT_THAT(Names("pull"), IsEmpty());
  EXPECT_THAT(Names("layers"), SizeIs(1));
  EXPECT_TRUE(store_->Find(id).ok());
  // A number that was in use on disk is not given out again at once.
  const std::string other = PullOk(MakeImage({{kAppTar}}), "team/other");
  EXPECT_EQ(store_->Find(other)->layers[0], "layers/78");
}

TEST_F(ImageStoreTest, ImageWhoseLayerIsMissingIsDroppedAndCanBePulledAgain) {
  const StubImage image = MakeImage({{kBaseTar}, {kAppTar}});
  const std::string id = PullOk(image);
  const std::string kept = PullOk(MakeImage({{kAppTar}}), "team/kept");
  ASSERT_TRUE(RemoveTreeAt(AT_FDCWD, data_ + "/" + store_->Find(id)->layers[0]).ok());
  Reopen();
  EXPECT_FALSE(store_->Find(id).ok());
  EXPECT_TRUE(store_->Find(kept).ok());
  EXPECT_EQ(PullOk(image), id);
  EXPECT_EQ(Read(store_->Find(id)->layers[0] + "/bin"), "binary");
}

TEST_F(ImageStoreTest, DirectoriesAreClosedToOthers) {
  for (const char* name : {"layers", "trees", "pull", "trash"})
    EXPECT_EQ(Stat(name).st_mode & 0777, 0700u) << name;
}

TEST_F(ImageStoreTest, InspectTellsDocumentsAndLayers) {
  const StubImage image = MakeImage({{kBaseTar}, {kAppTar}});
  const std::string id = PullOk(image);
  const auto details = store_->Inspect(Ref("team/app:v1"));
  ASSERT_TRUE(details.ok()) << details.status();
  EXPECT_EQ(details->image.id, id);
  EXPECT_EQ(Digest::Sha256(details->config).text(), id);
  EXPECT_THAT(details->image.repo_digests,
              ElementsAre(Ref("team/app@") + details->manifest_digest));
  EXPECT_THAT(details->manifest, HasSubstr(id));
  EXPECT_EQ(details->manifest_media_type, "application/vnd.oci.image.manifest.v1+json");
  EXPECT_GT(details->pulled_at, 0);
  ASSERT_THAT(details->layers, SizeIs(2));
  for (const LayerDetails& layer : details->layers) {
    EXPECT_THAT(details->config, HasSubstr(layer.diff_id));
    EXPECT_EQ(static_cast<int64_t>(image.blobs.at(layer.blob_digest).size()), layer.blob_bytes);
    EXPECT_EQ(layer.images, 1);
    EXPECT_FALSE(layer.damaged);
  }
  EXPECT_EQ(details->layers[1].directory, "layers/2");
  EXPECT_TRUE(absl::IsNotFound(store_->Inspect("nobody/knows:it").status()));
}

TEST_F(ImageStoreTest, ATagMovesAndAnImageOutlivesItsLastName) {
  const std::string one = PullOk(MakeImage({{kBaseTar}}), "one");
  const std::string two = PullOk(MakeImage({{kAppTar}}), "two");
  ASSERT_TRUE(store_->Tag(one, "localhost/mine:1").ok());
  EXPECT_EQ(store_->Find("localhost/mine:1")->id, one);
  ASSERT_TRUE(store_->Tag(two, "localhost/mine:1").ok());
  Reopen();
  EXPECT_EQ(store_->Find("localhost/mine:1")->id, two);
  EXPECT_THAT(store_->Find(one)->repo_tags, ElementsAre(Ref("one:v1")));

  ASSERT_TRUE(store_->Untag(Ref("one:v1")).ok());
  EXPECT_THAT(store_->Find(one)->repo_tags, IsEmpty());
  EXPECT_TRUE(absl::IsNotFound(store_->Untag(Ref("one:v1"))));
  EXPECT_TRUE(absl::IsNotFound(store_->Tag("nobody/knows:it", "localhost/mine:2")));
  EXPECT_TRUE(
      absl::IsInvalidArgument(store_->Tag(one, "localhost/mine@sha256:" + std::string(64, 'a'))));
}

TEST_F(ImageStoreTest, AnnotationsOfTheManifestAreTold) {
  StubImage image = MakeImage({{kBaseTar}});
  image.manifest.insert(1, R"("annotations":{"org.example.one":"1"},)");
  const std::string id = PullOk(image);
  EXPECT_THAT(store_->Find(id)->annotations, ElementsAre(testing::Pair("org.example.one", "1")));
}

TEST_F(ImageStoreTest, GarbageIsToldWithItsReason) {
  const std::string id = PullOk(MakeImage({{kBaseTar}}), "one");
  PullOk(MakeImage({{kBaseTar}, {kAppTar}}), "two");
  auto leased = store_->Lease(Ref("two:v1"));
  ASSERT_TRUE(leased.ok()) << leased.status();
  const auto unused = [](absl::string_view) { return false; };
  ASSERT_TRUE(store_->Remove(Ref("two:v1"), unused).ok());
  const auto items = store_->CollectGarbage(/*dry_run=*/true);
  ASSERT_TRUE(items.ok()) << items.status();
  std::vector<std::string> told;
  for (const GarbageItem& item : *items)
    told.push_back(absl::StrCat(item.kept ? "kept " : "removed ", item.name, ": ", item.why));
  EXPECT_THAT(
      told,
      ElementsAre(absl::StrCat("kept ", id, ": is ", Ref("one:v1"), "; images are removed by name"),
                  absl::StrCat("kept layers/1: of ", Ref("one:v1")),
                  "kept layers/2: a container, a pull or the next try of one uses it"));
}

TEST_F(ImageStoreTest, PinnedByAnyOfItsNames) {
  options_.pinned = {"*/keep/*:v?", "docker.io/library/other:*"};
  Reopen();
  const std::string kept = PullOk(MakeImage({{kBaseTar}}), "keep/this");
  const std::string other = PullOk(MakeImage({{kAppTar}}), "not/that");
  EXPECT_TRUE(store_->Find(kept)->pinned);
  EXPECT_FALSE(store_->Find(other)->pinned);
  ASSERT_TRUE(store_->Tag(other, "other").ok());
  EXPECT_TRUE(store_->Find(other)->pinned);
  ASSERT_TRUE(store_->Untag("other").ok());
  EXPECT_FALSE(store_->Find(other)->pinned);
}

}  // namespace
}  // namespace berth
