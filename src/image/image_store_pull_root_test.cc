// What comes of a pull, and of several at once.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/steady_time.h"
#include "src/base/unique_fd.h"
#include "src/image/digest.h"
#include "src/image/image_details.h"
#include "src/image/image_store.h"
#include "src/image/platform.h"
#include "src/image/testing/image_store_fixture.h"
#include "src/image/testing/registry_stub.h"
#include "src/image/testing/tar_writer.h"
#include "src/image/user.h"

namespace berth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing_image::Directory;
using testing_image::File;
using testing_image::MakeImage;
using testing_image::StubAnswer;
using testing_image::StubImage;
using testing_image::StubRequest;
using testing_image::TarBytes;
using testing_image::TarEnd;

TEST_F(ImageStoreTest, LayersLieInOrderWithTheirContent) {
  const std::string id = PullOk(MakeImage({{kBaseTar}, {kAppTar}}));
  const auto image = store_->Find(id);
  ASSERT_TRUE(image.ok()) << image.status();
  ASSERT_THAT(image->layers, SizeIs(2));
  EXPECT_EQ(Read(image->layers[0] + "/etc/passwd"), "root:x:0:0::/root:\n");
  EXPECT_EQ(Stat(image->layers[0] + "/tmp").st_mode & 07777, 01777u);
  EXPECT_EQ(Stat(image->layers[0] + "/bin").st_mode & 07777, 04755u);
  EXPECT_EQ(Read(image->layers[1] + "/app/run"), "run me");
  EXPECT_THAT(Names("pull"), IsEmpty());
  EXPECT_GT(store_->DiskUsage().used_bytes, 0);
  EXPECT_EQ(store_->DiskUsage().inodes, 6);
  const UniqueFd data(::open(data_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(*ReadImageFile(data.get(), image->layers, "/etc/passwd"), "root:x:0:0::/root:\n");
}

TEST_F(ImageStoreTest, LayerThatExistsIsNotFetchedAgain) {
  const StubImage first = MakeImage({{kBaseTar}});
  const StubImage second = MakeImage({{kBaseTar}, {kAppTar}});
  const std::string first_id = PullOk(first, "team/first");
  const std::string second_id = PullOk(second, "team/second");
  EXPECT_EQ(registry_.CountRequests("/v2/team/second/blobs/" +
                                    Digest::Sha256(testing_image::Gzip(kBaseTar)).text()),
            0);
  EXPECT_EQ(store_->Find(first_id)->layers[0], store_->Find(second_id)->layers[0]);
  EXPECT_THAT(Names("layers"), SizeIs(2));
}

TEST_F(ImageStoreTest, GzipZstdAndPlainLayers) {
  const std::string other = Tar({File("z", "zstd")}), plain = Tar({File("p", "plain")});
  const std::string id =
      PullOk(MakeImage({{kBaseTar}, {other, testing_image::Zstd(other)}, {plain, plain}}));
  const auto image = store_->Find(id);
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(Read(image->layers[1] + "/z"), "zstd");
  EXPECT_EQ(Read(image->layers[2] + "/p"), "plain");
}

TEST_F(ImageStoreTest, ImageWithoutLayers) {
  const std::string id = PullOk(MakeImage({}));
  ASSERT_TRUE(store_->Find(id).ok());
  EXPECT_THAT(store_->Find(id)->layers, IsEmpty());
}

TEST_F(ImageStoreTest, LayerThatComesTwiceIsStackedOnceOnTop) {
  const std::string empty = TarEnd();
  const std::string id = PullOk(MakeImage({{empty}, {kBaseTar}, {empty}}));
  const auto image = store_->Find(id);
  ASSERT_TRUE(image.ok()) << image.status();
  ASSERT_THAT(image->layers, SizeIs(2));
  EXPECT_EQ(Read(image->layers[0] + "/etc/passwd"), "root:x:0:0::/root:\n");
  EXPECT_THAT(Names("layers"), SizeIs(2));
}

TEST_F(ImageStoreTest, IndexGivesThisMachinesManifestAndItsOwnDigest) {
  const StubImage image = MakeImage({{kAppTar}});
  const StubImage foreign = MakeImage({{kBaseTar}}, "{}", "s390x");
  registry_.Publish("team/multi", "ours", image);
  registry_.Publish("team/multi", "foreign", foreign);
  const auto entry = [](const StubImage& of, const std::string& architecture) {
    return absl::StrCat(R"({"mediaType":")", of.manifest_type, R"(","digest":")",
                        of.manifest_digest(), R"(","size":)", of.manifest.size(),
                        R"(,"platform":{"os":"linux","architecture":")", architecture, "\"}}");
  };
  const std::string index =
      absl::StrCat(R"({"schemaVersion":2,"manifests":[)", entry(foreign, "s390x"), ",",
                   entry(image, HostPlatform().architecture), "]}");
  registry_.Serve(
      "/v2/team/multi/manifests/latest",
      {.headers = {"Content-Type: application/vnd.oci.image.index.v1+json"}, .body = index});
  const auto id = Pull("team/multi");
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(*id, image.id());
  EXPECT_THAT(store_->Find(*id)->repo_digests,
              ElementsAre(absl::StrCat(Ref("team/multi"), "@", Digest::Sha256(index).text())));
}

TEST_F(ImageStoreTest, ImageForAnotherMachineIsRefused) {
  registry_.Publish("team/app", "v1", MakeImage({{kBaseTar}}, "{}", "s390x"));
  const absl::Status status = Pull("team/app:v1").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("linux/s390x"));
  ExpectNothingLeft();
}

TEST_F(ImageStoreTest, ParentsThatTheArchiveLeftOutLookAsBelow) {
  const std::string lean = Tar({File("tmp/inside", "x"), TarBytes({.path = "etc/.wh.passwd"})});
  const std::string id = PullOk(MakeImage({{kBaseTar}, {lean}}));
  const auto image = store_->Find(id);
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(Stat(image->layers[1] + "/tmp").st_mode & 07777, 01777u);
  EXPECT_EQ(Stat(image->layers[1] + "/etc").st_mode & 07777, 0755u);
  // Over another base the same layer means something else, and is another one.
  const std::string other_base = Tar({Directory("tmp/", 0700)});
  const std::string other_id = PullOk(MakeImage({{other_base}, {lean}}), "team/other");
  const auto other = store_->Find(other_id);
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_NE(other->layers[1], image->layers[1]);
  EXPECT_EQ(Stat(other->layers[1] + "/tmp").st_mode & 07777, 0700u);
  // Over the same base it is the same, also if only the layer below exists.
  const std::string third_id = PullOk(MakeImage({{kBaseTar}, {lean}, {kAppTar}}), "team/third");
  EXPECT_EQ(store_->Find(third_id)->layers[1], image->layers[1]);
}

TEST_F(ImageStoreTest, BlobWithAnotherDigestIsDataLoss) {
  const StubImage image = MakeImage({{kBaseTar}});
  registry_.Publish("team/app", "v1", image);
  std::string blob = testing_image::Gzip(kBaseTar);
  const std::string path = "/v2/team/app/blobs/" + Digest::Sha256(blob).text();
  blob[4] ^= 1;  // the time in gzip's header: the content is the same
  registry_.Serve(path, {.body = blob});
  const absl::Status status = Pull("team/app:v1").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(Digest::Sha256(blob).text()));
  ExpectNothingLeft();
}

TEST_F(ImageStoreTest, BlobOfAnotherSizeIsDataLoss) {
  const std::string blob = testing_image::Gzip(kBaseTar);
  const std::string path = "/v2/team/app/blobs/" + Digest::Sha256(blob).text();
  registry_.Publish("team/app", "v1", MakeImage({{kBaseTar}}));
  for (const std::string& wrong : {blob + "more", blob.substr(0, blob.size() - 3), std::string()}) {
    registry_.Serve(path, {.body = wrong});
    const absl::Status status = Pull("team/app:v1").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << wrong.size() << ": " << status;
  }
  ExpectNothingLeft();
}

TEST_F(ImageStoreTest, ContentWithAnotherDiffIdIsDataLoss) {
  const StubImage image =
      MakeImage({{.tar = kBaseTar, .compressed = testing_image::Gzip(kAppTar)}});
  registry_.Publish("team/app", "v1", image);
  const absl::Status status = Pull("team/app:v1").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("diff_id"));
  ExpectNothingLeft();
}

TEST_F(ImageStoreTest, ManifestWithAnotherDigestIsDataLoss) {
  const StubImage image = MakeImage({{kBaseTar}}), other = MakeImage({{kAppTar}});
  registry_.Publish("team/app", "v1", image);
  registry_.Serve("/v2/team/app/manifests/" + image.manifest_digest(), {.body = other.manifest});
  EXPECT_EQ(Pull("team/app@" + image.manifest_digest()).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST_F(ImageStoreTest, MaliciousLayerLeavesNothing) {
  options_.keep_partial = absl::ZeroDuration();
  Reopen();
  const std::string evil = Tar({File("../../../../escaped", "x")});
  registry_.Publish("team/app", "v1", MakeImage({{kBaseTar}, {evil}}));
  const absl::Status status = Pull("team/app:v1").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  ExpectNothingLeft();
}

TEST_F(ImageStoreTest, BadReferenceIsInvalidArgument) {
  EXPECT_EQ(store_->Pull({.reference = "UPPER"}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ImageStoreTest, CancelledPullEndsAndLeavesNothing) {
  const StubImage image = MakeImage({{kBaseTar}});
  registry_.Publish("team/app", "v1", image);
  const std::string path =
      "/v2/team/app/blobs/" + Digest::Sha256(testing_image::Gzip(kBaseTar)).text();
  registry_.Serve(path, {.body = testing_image::Gzip(kBaseTar), .hang_after = 10});
  const auto id = store_->Pull({.reference = Ref("team/app:v1"),
                                .cancelled = [&] { return registry_.CountRequests(path) > 0; }});
  EXPECT_EQ(id.status().code(), absl::StatusCode::kCancelled) << id.status();
  ExpectNothingLeft();
}

TEST_F(ImageStoreTest, SamePullsAtOnceShareOne) {
  registry_.Publish("team/app", "v1", MakeImage({{kBaseTar}}));
  const std::string blob = testing_image::Gzip(kBaseTar),
                    path = "/v2/team/app/blobs/" + Digest::Sha256(blob).text();
  absl::Notification follower_listens;
  registry_.Handle(path, [&follower_listens, blob](const StubRequest&) -> StubAnswer {
    follower_listens.WaitForNotification();
    return {.body = blob};
  });
  absl::StatusOr<std::string> first, second;
  std::thread leader([&] { first = Pull("team/app:v1"); });
  registry_.AwaitRequest(path);
  std::atomic<bool> notified = false;
  second = store_->Pull({.reference = Ref("team/app:v1"), .progress = [&](const PullProgress&) {
                           if (!notified.exchange(true)) follower_listens.Notify();
                         }});
  leader.join();
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(*first, *second);
  EXPECT_EQ(registry_.CountRequests(path), 1);
  EXPECT_EQ(registry_.CountRequests("/v2/team/app/manifests/v1"), 1);
}

TEST_F(ImageStoreTest, DifferentImagesAtOnceMayShareLayers) {
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 6; ++i) {
    const std::string own = Tar({File(absl::StrCat("own", i), "x")});
    registry_.Publish(absl::StrCat("team/app", i), "v1", MakeImage({{kBaseTar}, {own}}));
    threads.emplace_back([this, i, &good] {
      const auto id = Pull(absl::StrCat("team/app", i, ":v1"));
      EXPECT_TRUE(id.ok()) << id.status();
      if (id.ok()) ++good;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 6);
  EXPECT_EQ(CountBlobRequests(kBaseTar), 1);
  EXPECT_THAT(store_->List(), SizeIs(6));
  EXPECT_THAT(Names("layers"), SizeIs(7));
}

TEST_F(ImageStoreTest, ALayerThatAnotherPullWaitsForIsThereBeforeItsImage) {
  registry_.Publish("large", "v1", MakeImage({{kBaseTar}, {kAppTar}}));
  registry_.Publish("small", "v1", MakeImage({{kBaseTar}}));
  const std::string base = testing_image::Gzip(kBaseTar), app = testing_image::Gzip(kAppTar),
                    base_path = "/v2/large/blobs/" + Digest::Sha256(base).text();
  absl::Notification waits, small_is_there;
  registry_.Handle(base_path, [&waits, base](const StubRequest&) -> StubAnswer {
    waits.WaitForNotification();
    return {.body = base};
  });
  registry_.Handle("/v2/large/blobs/" + Digest::Sha256(app).text(),
                   [&small_is_there, app](const StubRequest&) -> StubAnswer {
                     small_is_there.WaitForNotification();
                     return {.body = app};
                   });
  absl::StatusOr<std::string> large;
  std::thread first([&] { large = Pull("large:v1"); });
  registry_.AwaitRequest(base_path);
  std::vector<std::string> states;
  const auto small =
      store_->Pull({.reference = Ref("small:v1"), .progress = [&](const PullProgress& progress) {
                      if (progress.layer.empty()) return;
                      states.push_back(progress.state);
                      if (progress.state == "waiting") waits.Notify();
                    }});
  small_is_there.Notify();
  first.join();
  EXPECT_TRUE(small.ok()) << small.status();
  EXPECT_TRUE(large.ok()) << large.status();
  EXPECT_THAT(states, ElementsAre("waiting", "exists"));
  EXPECT_EQ(CountBlobRequests(kBaseTar), 1);
  EXPECT_THAT(Names("layers"), SizeIs(2));
}

TEST_F(ImageStoreTest, ALayerOfAPullThatIsCancelledIsFetchedByTheOneThatWaits) {
  registry_.Publish("one", "v1", MakeImage({{kBaseTar}}));
  registry_.Publish("two", "v1", MakeImage({{kBaseTar}}));
  const std::string base = testing_image::Gzip(kBaseTar),
                    path = "/v2/one/blobs/" + Digest::Sha256(base).text();
  registry_.Serve(path, {.body = base, .hang_after = 10});
  std::atomic<bool> cancelled = false;
  absl::StatusOr<std::string> one;
  std::thread first([&] {
    one = store_->Pull({.reference = Ref("one:v1"), .cancelled = [&] { return cancelled.load(); }});
  });
  registry_.AwaitRequest(path);
  const auto two =
      store_->Pull({.reference = Ref("two:v1"), .progress = [&](const PullProgress& progress) {
                      if (progress.state == "waiting") cancelled = true;
                    }});
  first.join();
  EXPECT_TRUE(absl::IsCancelled(one.status())) << one.status();
  EXPECT_TRUE(two.ok()) << two.status();
  EXPECT_THAT(Names("layers"), SizeIs(1));
}

TEST_F(ImageStoreTest, ACancelledPullGoesOnWhereItWas) {
  registry_.Publish("team/app", "v1", MakeImage({{kBaseTar}, {kAppTar}}));
  const std::string app = testing_image::Gzip(kAppTar),
                    app_path = "/v2/team/app/blobs/" + Digest::Sha256(app).text(),
                    base_digest = Digest::Sha256(testing_image::Gzip(kBaseTar)).text();
  registry_.Serve(app_path, {.body = app, .hang_after = 10});
  std::atomic<bool> cancelled = false;
  const auto first =
      store_->Pull({.reference = Ref("team/app:v1"),
                    .progress =
                        [&](const PullProgress& progress) {
                          if (progress.layer == base_digest && progress.state == "done")
                            cancelled = true;
                        },
                    .cancelled = [&] { return cancelled.load(); }});
  EXPECT_TRUE(absl::IsCancelled(first.status())) << first.status();
  EXPECT_THAT(store_->List(), IsEmpty());
  EXPECT_THAT(Names("layers"), SizeIs(1));
  EXPECT_THAT(Names("pull"), IsEmpty());

  registry_.Serve(app_path, {.body = app});
  const auto second = Pull("team/app:v1");
  EXPECT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(CountBlobRequests(kBaseTar), 1);
  EXPECT_THAT(Names("layers"), SizeIs(2));
}

TEST_F(ImageStoreTest, ProgressNamesEveryLayerAndEndsDone) {
  registry_.Publish("team/app", "v1", MakeImage({{kBaseTar}, {kAppTar}}));
  std::map<std::string, std::string> states;
  const auto id =
      store_->Pull({.reference = Ref("team/app:v1"), .progress = [&](const PullProgress& progress) {
                      states[progress.layer] = progress.state;
                    }});
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(states[""], "resolving");
  EXPECT_EQ(states[Digest::Sha256(testing_image::Gzip(kBaseTar)).text()], "done");
  EXPECT_EQ(states[Digest::Sha256(testing_image::Gzip(kAppTar)).text()], "done");
}

TEST_F(ImageStoreTest, MissingHelperIsNamed) {
  options_.pull_helper = "/nonexistent/berth-pull";
  Reopen();
  const absl::Status status = Pull("team/app:v1").status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nonexistent/berth-pull"));
  ExpectNothingLeft();
}

TEST_F(ImageStoreTest, HelperThatDiesIsInternalAndSaysHow) {
  options_.pull_helper = "/bin/false";
  Reopen();
  const absl::Status status = Pull("team/app:v1").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
}

// A file system of its own, with 2 MiB.
class FullDiskTest : public ImageStoreTest {
 protected:
  void SetUp() override {
    ImageStoreTest::SetUp();
    if (IsSkipped()) return;
    store_.reset();
    database_.reset();
    ASSERT_EQ(::mount("tmpfs", data_.c_str(), "tmpfs", 0, "size=2m"), 0);
    Reopen();
  }
  void TearDown() override {
    store_.reset();
    database_.reset();
    if (!data_.empty()) {
      EXPECT_EQ(::umount2(data_.c_str(), MNT_DETACH), 0);
    }
    ImageStoreTest::TearDown();
  }
};

TEST_F(FullDiskTest, DiskThatFillsUpIsResourceExhaustedAndLeavesNothing) {
  registry_.Publish("team/app", "v1",
                    MakeImage({{Tar({File("zeros", std::string(4 << 20, '\0'))})}}));
  const absl::Status status = Pull("team/app:v1").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("No space left on device"));
  ExpectNothingLeft();
  EXPECT_TRUE(store_->Remove("never:seen", NotInUse).ok());
}

TEST_F(FullDiskTest, LayersThatCannotFitAreNotFetched) {
  std::string noise;
  for (int i = 0; i < 90000; ++i) absl::StrAppend(&noise, Digest::Sha256(absl::StrCat(i)).text());
  const std::string tar = Tar({File("noise", noise)}), blob = testing_image::Gzip(tar);
  registry_.Publish("team/app", "v1", MakeImage({{tar}}));
  const absl::Status status = Pull("team/app:v1").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(registry_.CountRequests("/v2/team/app/blobs/" + Digest::Sha256(blob).text()), 0);
}

TEST_F(ImageStoreTest, AnImageThatAVerifierRefusesIsNotFetched) {
  options_.verifier_dir = data_ + "/verifiers";
  ASSERT_EQ(::mkdir(options_.verifier_dir.c_str(), 0755), 0);
  const std::string program = options_.verifier_dir + "/no";
  std::ofstream(program) << "#!/bin/sh\necho not ours\nexit 1\n";
  ASSERT_EQ(::chmod(program.c_str(), 0755), 0);
  Reopen();
  registry_.Publish("team/app", "v1", MakeImage({{kBaseTar}}));
  const absl::Status status = Pull("team/app:v1").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("SignatureValidationFailed: "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("not ours"));
  EXPECT_EQ(CountBlobRequests(kBaseTar), 0);
  ExpectNothingLeft();
  std::ofstream(program) << "#!/bin/sh\nexit 0\n";
  EXPECT_TRUE(Pull("team/app:v1").ok());
}

TEST_F(ImageStoreTest, PullsAreCounted) {
  PullOk(MakeImage({{kBaseTar}}), "one");
  PullOk(MakeImage({{kBaseTar}, {kAppTar}}), "two");
  EXPECT_FALSE(Pull("three:v1").ok());
  const ImageStore::PullCounts counts = store_->Counts();
  EXPECT_EQ(counts.running, 0);
  EXPECT_EQ(counts.succeeded, 2);
  EXPECT_EQ(counts.failed, 1);
  EXPECT_EQ(counts.layers_fetched, 2);
  EXPECT_EQ(counts.layers_present, 1);
  EXPECT_EQ(counts.received_bytes, static_cast<int64_t>(testing_image::Gzip(kBaseTar).size() +
                                                        testing_image::Gzip(kAppTar).size()));
}

// Twice 100 KB that do not compress: less than a second's worth together would be no limit.
TEST_F(ImageStoreTest, PullsShareTheBandwidth) {
  options_.bytes_per_second = 100'000;
  Reopen();
  std::string noise[2];
  uint64_t state = 1;
  for (std::string& one : noise) {
    for (int i = 0; i < 100'000; ++i) {
      state = state * 6364136223846793005 + 1442695040888963407;
      one.push_back(static_cast<char>(state >> 56));
    }
  }
  registry_.Publish("one", "v1", MakeImage({{Tar({File("f", noise[0])})}}));
  registry_.Publish("two", "v1", MakeImage({{Tar({File("f", noise[1])})}}));
  const absl::Time begin = SteadyNow();
  std::thread other([&] { EXPECT_TRUE(Pull("one:v1").ok()); });
  EXPECT_TRUE(Pull("two:v1").ok());
  other.join();
  EXPECT_GT(SteadyNow() - begin, absl::Seconds(1)) << "a limit is a time that it takes at least";
}

TEST_F(ImageStoreTest, ARunningPullIsTold) {
  const StubImage image = MakeImage({{kBaseTar}});
  registry_.Publish("slow", "v1", image);
  std::string path;
  for (const auto& [digest, bytes] : image.blobs) {
    if (digest == image.id()) continue;
    path = "/v2/slow/blobs/" + digest;
    registry_.Serve(path, {.body = bytes, .hang_after = 10});
  }
  std::atomic<bool> cancelled = false;
  std::thread puller([&] {
    EXPECT_TRUE(absl::IsCancelled(
        store_->Pull({.reference = Ref("slow:v1"), .cancelled = [&] { return cancelled.load(); }})
            .status()));
  });
  registry_.AwaitRequest(path);
  const std::vector<RunningPull> pulls = store_->Pulls();
  cancelled = true;
  puller.join();
  ASSERT_THAT(pulls, SizeIs(1));
  EXPECT_EQ(pulls[0].reference, Ref("slow:v1"));
  EXPECT_GT(pulls[0].started_at, 0);
  ASSERT_THAT(pulls[0].layers, SizeIs(1));
  EXPECT_GT(pulls[0].layers[0].total_bytes, 0);
  EXPECT_THAT(store_->Pulls(), IsEmpty());
}

}  // namespace
}  // namespace berth
