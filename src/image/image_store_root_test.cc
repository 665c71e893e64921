// The store against the real helper process and a scripted registry.
#include "src/base/steady_time.h"
#include "src/image/image_store.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/unique_fd.h"
#include "src/image/digest.h"
#include "src/image/image_details.h"
#include "src/image/platform.h"
#include "src/image/testing/registry_stub.h"
#include "src/image/testing/tar_writer.h"
#include "src/image/user.h"
#include "src/kernel/file.h"
#include "src/store/pods.h"

namespace berth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;
using testing_image::Directory;
using testing_image::File;
using testing_image::MakeImage;
using testing_image::RegistryStub;
using testing_image::StubAnswer;
using testing_image::StubImage;
using testing_image::StubRequest;
using testing_image::TarBytes;
using testing_image::TarEnd;

std::string Tar(const std::vector<std::string>& entries) {
  std::string tar;
  for (const std::string& entry : entries) tar += entry;
  return tar + TarEnd();
}

const std::string kBaseTar = Tar({Directory("etc/"), File("etc/passwd", "root:x:0:0::/root:\n"),
                                  Directory("tmp/", 01777), File("bin", "binary", 04755)});
const std::string kAppTar = Tar({Directory("app/"), File("app/run", "run me", 0755)});

class ImageStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: layers hold other users' files";
    char name[] = "/tmp/berth-image-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    data_ = name;
    options_ = {.data_dir = data_, .pull_helper = BERTH_BIN_DIR "/berth-pull", .stall_seconds = 30};
    Reopen();
  }

  void TearDown() override {
    store_.reset();
    database_.reset();
    if (!data_.empty()) {
      EXPECT_TRUE(RemoveTreeAt(AT_FDCWD, data_).ok());
    }
  }

  void Reopen() {
    store_.reset();
    database_.reset();
    auto database = Database::Open(data_ + "/state.db");
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);
    auto store = ImageStore::Open(options_, *database_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  std::string Ref(const std::string& name) { return registry_.host() + "/" + name; }

  absl::StatusOr<std::string> Pull(const std::string& name) {
    return store_->Pull({.reference = Ref(name)});
  }

  // Publishes under team/app:v1 and pulls it.
  std::string PullOk(const StubImage& image, const std::string& repository = "team/app",
                     const std::string& tag = "v1") {
    registry_.Publish(repository, tag, image);
    const auto id = Pull(repository + ":" + tag);
    EXPECT_TRUE(id.ok()) << id.status();
    return id.value_or("");
  }

  std::vector<std::string> Names(const std::string& directory) {
    auto names = ListDir(AT_FDCWD, data_ + "/" + directory);
    EXPECT_TRUE(names.ok()) << names.status();
    return names.ok() ? *names : std::vector<std::string>();
  }

  struct stat Stat(const std::string& path) {
    struct stat st = {};
    EXPECT_EQ(::lstat((data_ + "/" + path).c_str(), &st), 0) << path;
    return st;
  }

  std::string Read(const std::string& path) {
    const auto content = ReadFileAt(AT_FDCWD, data_ + "/" + path);
    EXPECT_TRUE(content.ok()) << content.status();
    return content.value_or("");
  }

  // Nothing of a failed pull stays: no image, no layer, no work directory.
  void ExpectNothingLeft() {
    EXPECT_THAT(store_->List(), IsEmpty());
    EXPECT_THAT(Names("layers"), IsEmpty());
    EXPECT_THAT(Names("pull"), IsEmpty());
    EXPECT_EQ(store_->DiskUsage().used_bytes, 0);
  }

  // Of the layer, in all repositories.
  int CountBlobRequests(const std::string& tar) {
    const std::string path = "/blobs/" + Digest::Sha256(testing_image::Gzip(tar)).text();
    int count = 0;
    for (const StubRequest& request : registry_.requests()) {
      if (absl::EndsWith(request.path, path)) ++count;
    }
    return count;
  }

  static bool NotInUse(absl::string_view) { return false; }

  std::string data_;
  ImageStore::Options options_;
  RegistryStub registry_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<ImageStore> store_;
};

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

TEST_F(ImageStoreTest, MissingImageIsNotFoundInTheRegistrysWords) {
  const absl::Status status = Pull("team/none:v1").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(registry_.url() + "/v2/team/none/manifests/v1: 404 Not Found"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("repository name not known"));
}

TEST_F(ImageStoreTest, BadReferenceIsInvalidArgument) {
  EXPECT_EQ(store_->Pull({.reference = "UPPER"}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ImageStoreTest, RefusedConnectionIsRegistryUnavailable) {
  std::string gone;
  {
    RegistryStub closed;
    gone = closed.host();
  }
  const absl::Status status = store_->Pull({.reference = gone + "/a"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("RegistryUnavailable"));
}

TEST_F(ImageStoreTest, ServerErrorIsRegistryUnavailable) {
  registry_.Serve("/v2/team/app/manifests/v1", {.status = 503, .body = "sorry\x1b[2J"});
  const absl::Status status = Pull("team/app:v1").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("503 Service Unavailable: sorry"));
  EXPECT_THAT(std::string(status.message()), testing::Not(HasSubstr("\x1b")));
}

TEST_F(ImageStoreTest, RegistryThatFallsSilentIsGivenUp) {
  options_.stall_seconds = 1;
  Reopen();
  registry_.Serve("/v2/team/app/manifests/v1", {.hang = true});
  const absl::Status status = Pull("team/app:v1").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("stalled: no answer"));
}

TEST_F(ImageStoreTest, RegistryThatTricklesIsGivenUp) {
  options_.stall_seconds = 1;
  Reopen();
  registry_.Publish("team/app", "v1", MakeImage({{kBaseTar}}));
  const std::string blob = testing_image::Gzip(kBaseTar);
  registry_.Serve("/v2/team/app/blobs/" + Digest::Sha256(blob).text(),
                  {.body = blob, .trickle = true});
  const absl::Status status = Pull("team/app:v1").status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("bytes"));
  ExpectNothingLeft();
}

TEST_F(ImageStoreTest, BrokenDownloadIsResumedWhereItBroke) {
  std::string noise;
  for (int i = 0; i < 40000; ++i) absl::StrAppend(&noise, Digest::Sha256(absl::StrCat(i)).text());
  const std::string tar = Tar({File("noise", noise)}), blob = testing_image::Gzip(tar);
  const std::string path = "/v2/team/app/blobs/" + Digest::Sha256(blob).text();
  registry_.Publish("team/app", "v1", MakeImage({{tar}}));
  registry_.Handle(path, [blob](const StubRequest& request) -> StubAnswer {
    const std::string range = request.Header("range");
    if (range.empty()) return {.body = blob, .cut_after = blob.size() / 2};
    const size_t from = std::stoul(range.substr(6));
    return {.status = 206,
            .headers = {absl::StrCat("Content-Range: bytes ", from, "-", blob.size() - 1, "/",
                                     blob.size())},
            .body = blob.substr(from)};
  });
  const auto id = Pull("team/app:v1");
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(registry_.CountRequests(path), 2);
  EXPECT_EQ(Stat(store_->Find(*id)->layers[0] + "/noise").st_size,
            static_cast<off_t>(noise.size()));
}

TEST_F(ImageStoreTest, TokenIsFetchedOnceWithTheCredentials) {
  registry_.Publish("team/app", "v1", MakeImage({{kBaseTar}, {kAppTar}}));
  registry_.Guard([this](const StubRequest& request) -> StubAnswer {
    if (request.path == "/token") {
      const bool ours = request.Header("authorization") == "Basic bWU6c2VjcmV0" &&
                        absl::StrContains(request.target, "scope=repository%3Ateam%2Fapp%3Apull") &&
                        absl::StrContains(request.target, "service=stub");
      return ours ? StubAnswer{.body = R"({"token":"t0ken"})"} : StubAnswer{.status = 401};
    }
    if (request.Header("authorization") == "Bearer t0ken") return {.status = 0};
    return {.status = 401,
            .headers = {absl::StrCat("WWW-Authenticate: Bearer realm=\"", registry_.url(),
                                     "/token\",service=\"stub\",scope=\"repository:other:push\"")}};
  });
  const auto id = store_->Pull(
      {.reference = Ref("team/app:v1"), .auth = {.username = "me", .password = "secret"}});
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(registry_.CountRequests("/token"), 1);
}

TEST_F(ImageStoreTest, IdentityTokenIsExchangedByPost) {
  registry_.Publish("team/app", "v1", MakeImage({{kBaseTar}}));
  registry_.Guard([this](const StubRequest& request) -> StubAnswer {
    if (request.path == "/token") {
      const bool ours = request.method == "POST" &&
                        absl::StrContains(request.body, "grant_type=refresh_token") &&
                        absl::StrContains(request.body, "refresh_token=r%26fresh") &&
                        request.Header("authorization").empty();
      return ours ? StubAnswer{.body = R"({"access_token":"t0ken"})"} : StubAnswer{.status = 400};
    }
    if (request.Header("authorization") == "Bearer t0ken") return {.status = 0};
    return {.status = 401,
            .headers = {
                absl::StrCat("WWW-Authenticate: Bearer realm=\"", registry_.url(), "/token\"")}};
  });
  const auto id =
      store_->Pull({.reference = Ref("team/app:v1"), .auth = {.identity_token = "r&fresh"}});
  EXPECT_TRUE(id.ok()) << id.status();
}

TEST_F(ImageStoreTest, TokenThatExpiresInBetweenIsRenewed) {
  registry_.Publish("team/app", "v1", MakeImage({{kBaseTar}}));
  std::atomic<int> tokens = 0;
  registry_.Guard([&](const StubRequest& request) -> StubAnswer {
    if (request.path == "/token") return {.body = absl::StrCat(R"({"token":"t)", ++tokens, "\"}")};
    // The first token is good for the manifest only.
    const bool manifest = absl::StrContains(request.path, "/manifests/");
    const std::string want = manifest ? "Bearer t1" : "Bearer t2";
    if (request.Header("authorization") == want) return {.status = 0};
    return {.status = 401,
            .headers = {
                absl::StrCat("WWW-Authenticate: Bearer realm=\"", registry_.url(), "/token\"")}};
  });
  const auto id = Pull("team/app:v1");
  EXPECT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(tokens, 2);
}

TEST_F(ImageStoreTest, CredentialsDoNotGoToAStrangersRealm) {
  // The realm is not the registry's own host and plain: it must not even be asked.
  registry_.Guard([](const StubRequest&) -> StubAnswer {
    return {.status = 401,
            .headers = {"WWW-Authenticate: Bearer realm=\"http://169.254.169.254/token\""}};
  });
  const absl::Status status =
      store_->Pull({.reference = Ref("team/app:v1"), .auth = {.username = "me", .password = "p"}})
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("internal address"));
}

TEST_F(ImageStoreTest, WrongCredentialsAreUnauthenticated) {
  registry_.Guard([](const StubRequest&) -> StubAnswer {
    return {.status = 401,
            .headers = {"WWW-Authenticate: Basic realm=\"stub\""},
            .body = R"({"errors":[{"code":"UNAUTHORIZED","message":"no entry"}]})"};
  });
  const absl::Status status = store_
                                  ->Pull({.reference = Ref("team/app:v1"),
                                          .auth = {.username = "me", .password = "hunter2"}})
                                  .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no entry"));
  EXPECT_THAT(std::string(status.message()), testing::Not(HasSubstr("hunter2")));
}

TEST_F(ImageStoreTest, CredentialsForAnotherServerAreNotSent) {
  registry_.Publish("team/app", "v1", MakeImage({{kBaseTar}}));
  registry_.Guard([](const StubRequest& request) -> StubAnswer {
    if (request.path != "/v2/team/app/manifests/v1") return {.status = 0};
    return {.status = 401, .headers = {"WWW-Authenticate: Basic realm=\"stub\""}};
  });
  const auto id = store_->Pull(
      {.reference = Ref("team/app:v1"),
       .auth = {.username = "me", .password = "p", .server_address = "other.example"}});
  EXPECT_EQ(id.status().code(), absl::StatusCode::kUnauthenticated);
  for (const StubRequest& request : registry_.requests())
    EXPECT_EQ(request.Header("authorization"), "");
}

TEST_F(ImageStoreTest, RedirectToAnotherOriginCarriesNoAuthorization) {
  RegistryStub storage;
  const StubImage image = MakeImage({{kBaseTar}});
  registry_.Publish("team/app", "v1", image);
  const std::string blob = testing_image::Gzip(kBaseTar),
                    path = "/v2/team/app/blobs/" + Digest::Sha256(blob).text();
  storage.Serve("/signed", {.body = blob});
  registry_.Serve(path,
                  {.status = 307,
                   .headers = {absl::StrCat("Location: ", storage.url(), "/signed?key=s3cret")}});
  const auto id =
      store_->Pull({.reference = Ref("team/app:v1"), .auth = {.registry_token = "t0ken"}});
  ASSERT_TRUE(id.ok()) << id.status();
  ASSERT_THAT(storage.requests(), SizeIs(1));
  EXPECT_EQ(storage.requests()[0].Header("authorization"), "");
  for (const StubRequest& request : registry_.requests()) {
    EXPECT_EQ(request.Header("authorization"), "Bearer t0ken") << request.path;
  }
}

TEST_F(ImageStoreTest, ErrorsDoNotShowTheSignatureOfALink) {
  RegistryStub storage;
  registry_.Publish("team/app", "v1", MakeImage({{kBaseTar}}));
  const std::string path =
      "/v2/team/app/blobs/" + Digest::Sha256(testing_image::Gzip(kBaseTar)).text();
  registry_.Serve(
      path,
      {.status = 307, .headers = {absl::StrCat("Location: ", storage.url(), "/gone?key=s3cret")}});
  const std::string message(Pull("team/app:v1").status().message());
  EXPECT_THAT(message, HasSubstr("/gone: 404"));
  EXPECT_THAT(message, testing::Not(HasSubstr("s3cret")));
}

TEST_F(ImageStoreTest, RedirectsInACircleEnd) {
  registry_.Serve("/v2/team/app/manifests/v1",
                  {.status = 302, .headers = {"Location: /v2/team/app/manifests/v1"}});
  const absl::Status status = Pull("team/app:v1").status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("more than 5 redirects"));
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

// A file system of its own, with 1 MiB.
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

TEST_F(ImageStoreTest, AnnotationsOfTheManifestAreTold) {
  StubImage image = MakeImage({{kBaseTar}});
  image.manifest.insert(1, R"("annotations":{"org.example.one":"1"},)");
  const std::string id = PullOk(image);
  EXPECT_THAT(store_->Find(id)->annotations, ElementsAre(testing::Pair("org.example.one", "1")));
}

TEST_F(ImageStoreTest, AProxyOfTheEnvironmentIsUsedUnlessTheHostIsExcepted) {
  options_.plain_http = true;
  options_.pull_env = {"http_proxy=" + registry_.url()};
  Reopen();
  const std::string through_proxy = "http://registry.invalid/v2/team/app/manifests/v1";
  const absl::Status asked = store_->Pull({.reference = "registry.invalid/team/app:v1"}).status();
  EXPECT_TRUE(absl::IsNotFound(asked)) << "the proxy's answer: " << asked;
  EXPECT_EQ(registry_.CountRequests(through_proxy), 1);

  options_.pull_env.push_back("no_proxy=registry.invalid");
  Reopen();
  const absl::Status alone = store_->Pull({.reference = "registry.invalid/team/app:v1"}).status();
  EXPECT_TRUE(absl::IsUnavailable(alone)) << alone;
  EXPECT_EQ(registry_.CountRequests(through_proxy), 1);
}

TEST_F(ImageStoreTest, HeadersWithoutEndAreRefused) {
  registry_.Serve("/v2/team/app/manifests/v1",
                  {.headers = {"X-Big: " + std::string(4 << 20, 'a')}, .body = "{}"});
  const absl::Status status = Pull("team/app:v1").status();
  EXPECT_FALSE(status.ok());
  EXPECT_LT(status.message().size(), 2000u) << "it is told, not shown";
  ExpectNothingLeft();
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
