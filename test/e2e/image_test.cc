// PullImage, ImageStatus, ListImages, RemoveImage, and how layers become a root file system.
#include <gmock/gmock.h>
#include <unistd.h>

#include <map>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "test/e2e/docker_registry.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/own_node.h"
#include "test/e2e/subprocess.h"

namespace berth::e2e {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using Fault = StubRegistry::Fault;

BuiltImage SmallImage(const std::string& content, Format format = Format::kOci) {
  return Build({.layers = {{{File("content", content)}}}, .format = format});
}

std::vector<std::string> Strings(const google::protobuf::RepeatedPtrField<std::string>& list) {
  return {list.begin(), list.end()};
}

class ImageTest : public E2eTest {
 protected:
  StubRegistry& registry() { return node().registry(); }
  bool Present(const std::string& reference) {
    const auto status = client().ImageStatus(reference);
    EXPECT_OK(status);
    return status.ok() && status->has_image();
  }
  cri::Image ImageOf(const std::string& reference) {
    const auto status = client().ImageStatus(reference);
    EXPECT_OK(status);
    EXPECT_TRUE(status.ok() && status->has_image()) << reference;
    return status.ok() ? status->image() : cri::Image();
  }
  // What `berth image ARGUMENTS` prints.
  std::string Berth(std::vector<std::string> arguments, int exit_code = 0) {
    const std::string output = absl::StrCat(NodeDir(), "/image-output");
    ::unlink(output.c_str());
    std::vector<std::string> argv = {BERTH_BIN_DIR "/berth", "--socket", node().daemon().socket(),
                                     "image"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    auto run = Subprocess::Start({.argv = argv, .output_path = output});
    EXPECT_OK(run);
    if (!run.ok()) return "";
    EXPECT_EQ(run->Wait(absl::Minutes(1)), exit_code) << run->Output();
    const std::string printed = run->Output();
    ::unlink(output.c_str());
    return printed;
  }
  // The last component of a tag reference replaced: "<host>/<name>@<digest>".
  static std::string ByDigest(const std::string& reference, const std::string& digest) {
    return absl::StrCat(reference.substr(0, reference.rfind(':')), "@", digest);
  }
};

TEST_F(ImageTest, PulledImageIsThereUnderEveryName) {
  const BuiltImage built = SmallImage("one");
  const std::string reference = registry().Add("names", "v1", built);
  ASSERT_OK_AND_ASSIGN(const std::string id, client().Pull(reference));
  EXPECT_EQ(id, built.id);
  const cri::Image image = ImageOf(reference);
  EXPECT_EQ(image.id(), built.id);
  EXPECT_THAT(Strings(image.repo_tags()), ElementsAre(reference));
  EXPECT_THAT(Strings(image.repo_digests()),
              ElementsAre(ByDigest(reference, built.ManifestDigest())));
  EXPECT_GT(image.size(), 0u);
  const std::string hex(absl::StripPrefix(id, "sha256:"));
  for (const std::string& name :
       {id, hex, hex.substr(0, 13), ByDigest(reference, built.ManifestDigest())}) {
    EXPECT_EQ(ImageOf(name).SerializeAsString(), image.SerializeAsString()) << name;
  }
  ASSERT_OK_AND_ASSIGN(const auto images, client().ListImages());
  std::vector<std::string> ids;
  for (const auto& each : images) ids.push_back(each.id());
  EXPECT_THAT(ids, testing::UnorderedElementsAre(id, node().probe_id()));
  ASSERT_OK(client().RemoveImage(id));
  EXPECT_FALSE(Present(reference));
  EXPECT_FALSE(Present(id));
}

TEST_F(ImageTest, UnknownImageIsUnsetAndItsRemovalFine) {
  EXPECT_FALSE(Present("127.0.0.1:1/none:v1"));
  EXPECT_FALSE(Present("sha256:" + std::string(64, 'a')));
  EXPECT_OK(client().RemoveImage("127.0.0.1:1/none:v1"));
  EXPECT_OK(client().RemoveImage("sha256:" + std::string(64, 'a')));
}

TEST_F(ImageTest, MissingTagMeansLatest) {
  const std::string reference = registry().Add("untagged", "latest", SmallImage("latest"));
  ASSERT_OK_AND_ASSIGN(const std::string id, client().Pull(registry().host() + "/untagged"));
  EXPECT_THAT(Strings(ImageOf(id).repo_tags()), ElementsAre(reference));
  EXPECT_OK(client().RemoveImage(id));
}

TEST_F(ImageTest, PullByDigestHasNoTag) {
  const BuiltImage built = SmallImage("digest");
  const std::string reference =
      ByDigest(registry().Add("digest", "v1", built), built.ManifestDigest());
  ASSERT_OK_AND_ASSIGN(const std::string id, client().Pull(reference));
  const cri::Image image = ImageOf(id);
  EXPECT_THAT(Strings(image.repo_tags()), IsEmpty());
  EXPECT_THAT(Strings(image.repo_digests()), ElementsAre(reference));
  EXPECT_OK(client().RemoveImage(id));
}

TEST_F(ImageTest, SeveralTagsAreOneImageAndGoTogether) {
  const BuiltImage built = SmallImage("tags");
  std::vector<std::string> tags;
  for (const char* tag : {"a", "b", "c"}) tags.push_back(registry().Add("tags", tag, built));
  for (const std::string& tag : tags) ASSERT_OK(client().Pull(tag));
  EXPECT_EQ(Strings(ImageOf(built.id).repo_tags()), tags);
  ASSERT_OK(client().RemoveImage(tags[1]));
  for (const std::string& tag : tags) EXPECT_FALSE(Present(tag)) << tag;
}

TEST_F(ImageTest, MovedTagIsResolvedAgainAndTheOldImageStays) {
  const BuiltImage old_image = SmallImage("old"), new_image = SmallImage("new");
  const std::string reference = registry().Add("moves", "v1", old_image);
  ASSERT_OK(client().Pull(reference));
  registry().Add("moves", "v1", new_image);
  ASSERT_OK_AND_ASSIGN(const std::string id, client().Pull(reference));
  EXPECT_EQ(id, new_image.id);
  EXPECT_EQ(ImageOf(reference).id(), new_image.id);
  EXPECT_THAT(Strings(ImageOf(old_image.id).repo_tags()), IsEmpty());
  EXPECT_OK(client().RemoveImage(old_image.id));
  EXPECT_OK(client().RemoveImage(new_image.id));
}

TEST_F(ImageTest, DockerManifestsArePulledToo) {
  const BuiltImage built = SmallImage("docker", Format::kDocker);
  const std::string reference = registry().Add("docker", "v1", built);
  ASSERT_OK_AND_ASSIGN(const std::string id, client().Pull(reference));
  EXPECT_EQ(id, built.id);
  EXPECT_OK(client().RemoveImage(id));
}

TEST_F(ImageTest, IndexGivesThePlatformOfTheNode) {
  const BuiltImage amd = SmallImage("amd64");
  BuiltImage arm = Build({.layers = {{{File("content", "arm64")}}}, .architecture = "arm64"});
  for (const Format format : {Format::kOci, Format::kDocker}) {
    const BuiltImage index = BuildIndex({{"unknown", "unknown", "", arm},
                                         {"linux", "arm64", "v8", arm},
                                         {"linux", "amd64", "", amd}},
                                        format);
    const std::string reference = registry().Add("index", "v1", index);
    ASSERT_OK_AND_ASSIGN(const std::string id, client().Pull(reference));
    EXPECT_EQ(id, amd.id);
    EXPECT_THAT(Strings(ImageOf(id).repo_digests()),
                Contains(ByDigest(reference, index.ManifestDigest())));
    EXPECT_OK(client().RemoveImage(id));
  }
}

TEST_F(ImageTest, IndexWithoutThePlatformIsAClearError) {
  const BuiltImage arm = Build({.layers = {{{File("content", "arm64")}}}, .architecture = "arm64"});
  const std::string reference =
      registry().Add("arm", "v1", BuildIndex({{"linux", "arm64", "v8", arm}}));
  const auto id = client().Pull(reference);
  EXPECT_CODE(id, kUnknown, kNotFound, kFailedPrecondition);
  EXPECT_THAT(std::string(id.status().message()), HasSubstr("platform"));
}

// Builders that make an image of files alone leave their folders out.
TEST_F(ImageTest, LowestLayerNeedNotNameItsFolders) {
  ImageRecipe recipe = ProbeRecipe();
  recipe.layers.insert(recipe.layers.begin(), {{File("opt/tool/file", "from below\n")}});
  const std::string reference = registry().Add("folders", "v1", Build(recipe));
  ASSERT_OK(client().Pull(reference));
  {
    ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
    cri::ContainerConfig config = MakeProbe("c", {"paths", "/opt/tool", "/opt/tool/file"});
    config.mutable_image()->set_image(reference);
    ASSERT_OK_AND_ASSIGN(const Json report, pod.RunForJson(config));
    EXPECT_EQ(report["/opt/tool"]["mode"], 0755) << report;
    EXPECT_EQ(report["/opt/tool/file"]["read"], "content") << report;
  }
  EXPECT_OK(client().RemoveImage(reference));
}

TEST_F(ImageTest, UserOfTheImageIsANumberOrAName) {
  struct {
    const char *user, *name;
    int64_t uid;
  } cases[] = {{"1002", "", 1002},
               {"1003:1004", "", 1003},
               {"app", "app", -1},
               {"app:staff", "app", -1},
               {"", "", -1}};
  for (const auto& c : cases) {
    const std::string reference = registry().Add(
        "users", "v1",
        Build({.layers = {{{File("content", "user")}}}, .config = {{"User", c.user}}}));
    ASSERT_OK_AND_ASSIGN(const std::string id, client().Pull(reference));
    const cri::Image image = ImageOf(id);
    EXPECT_EQ(image.username(), c.name) << c.user;
    EXPECT_EQ(image.has_uid() ? image.uid().value() : -1, c.uid) << c.user;
    EXPECT_OK(client().RemoveImage(id));
  }
}

TEST_F(ImageTest, ImageUserRunsTheContainer) {
  ImageRecipe recipe = ProbeRecipe();
  recipe.config["User"] = "worker:staff";
  recipe.config["WorkingDir"] = "/home/app";
  const std::string reference = registry().Add("worker", "v1", Build(recipe));
  ASSERT_OK(client().Pull(reference));
  {
    ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
    cri::ContainerConfig config = MakeProbe("c", {"report"});
    config.mutable_image()->set_image(reference);
    ASSERT_OK_AND_ASSIGN(const Json report, pod.RunForJson(config));
    EXPECT_EQ(report["uid"], 1001);
    EXPECT_EQ(report["gid"], 2000);
    EXPECT_EQ(report["cwd"], "/home/app");
  }
  EXPECT_OK(client().RemoveImage(reference));
}

TEST_F(ImageTest, I_11_ImageInUseIsNotRemovedAndAnExitedContainerOutlivesIt) {
  ImageRecipe recipe = ProbeRecipe();
  recipe.config["Labels"] = {{"only", "here"}};
  const std::string reference = registry().Add("used", "v1", Build(recipe));
  ASSERT_OK_AND_ASSIGN(const std::string image_id, client().Pull(reference));
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  cri::ContainerConfig config = MakeProbe("c", {"sleep"});
  config.mutable_image()->set_image(reference);
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.Create(config));
  EXPECT_CODE(client().RemoveImage(reference), kFailedPrecondition);
  ASSERT_OK(client().Start(id));
  EXPECT_CODE(client().RemoveImage(image_id), kFailedPrecondition);
  EXPECT_TRUE(Present(reference));
  ASSERT_OK(client().Stop(id, 0));
  EXPECT_OK(client().RemoveImage(reference));
  EXPECT_FALSE(Present(reference));
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
  EXPECT_EQ(status.image_id(), image_id);
  EXPECT_FALSE(status.image().image().empty());
  EXPECT_FALSE(status.image_ref().empty());
}

TEST_F(ImageTest, TheCommandLineLooksIntoTheStoreAndMendsIt) {
  const BuiltImage built =
      Build({.layers = {{{File("below", "1")}}, {{File("above", "2")}}}, .format = Format::kOci});
  const std::string reference = registry().Add("looked-into", "v1", built);
  ASSERT_OK_AND_ASSIGN(const std::string id, client().Pull(reference));
  EXPECT_THAT(Berth({"inspect", reference}), HasSubstr(built.ManifestDigest()));
  EXPECT_THAT(Berth({"history", reference}), HasSubstr("LAYER"));
  Berth({"tag", reference, "localhost/again:2"});
  EXPECT_TRUE(Present("localhost/again:2"));
  Berth({"untag", "localhost/again:2"});
  EXPECT_FALSE(Present("localhost/again:2"));
  EXPECT_THAT(Berth({"pulls"}), Not(HasSubstr("looked-into")));
  EXPECT_THAT(Berth({"gc", "--dry-run"}), HasSubstr(absl::StrCat("of ", reference)));
  EXPECT_THAT(Berth({"verify", reference}), Not(HasSubstr("damaged")));

  const auto inspected =
      Json::parse(Berth({"inspect", reference}))["status"]["layers"][1]["directory"];
  const std::string file =
      absl::StrCat(node().daemon().options().dir, "/data/", inspected.get<std::string>(), "/above");
  ASSERT_EQ(::unlink(file.c_str()), 0) << file;
  EXPECT_THAT(Berth({"verify", reference}, 1), HasSubstr("above is missing"));
  EXPECT_THAT(Berth({"verify", "--repair", reference}), HasSubstr("repaired"));
  EXPECT_THAT(Berth({"verify", reference}), Not(HasSubstr("damaged")));
  EXPECT_OK(client().RemoveImage(reference));
}

TEST_F(ImageTest, ConfiguredImagesArePinnedAndStallsEndAsConfigured) {
  ASSERT_OK_AND_ASSIGN(OwnNode own, OwnNode::Start("pinned",
                                                   "[image]\npinned = \"*/kept:*\"\n"
                                                   "stall_seconds = \"1\"\n"));
  const std::string kept = registry().Add("kept", "v1", SmallImage("kept"));
  const std::string other = registry().Add("other", "v1", SmallImage("other"));
  for (const std::string& reference : {kept, other}) {
    ASSERT_OK(own.client().Pull(reference));
    const auto status = own.client().ImageStatus(reference);
    ASSERT_OK(status);
    EXPECT_EQ(status->image().pinned(), reference == kept);
    EXPECT_OK(own.client().RemoveImage(reference));
  }
  const std::string stalled = registry().Add("stalled", "v1", SmallImage(std::string(100000, 'h')));
  registry().SetFault("/v2/stalled/blobs/", Fault::kHang);
  EXPECT_THAT(std::string(own.client().Pull(stalled).status().message()), HasSubstr("stall"));
}

TEST_F(ImageTest, SimultaneousPullsOfOneImageAllSucceed) {
  const BuiltImage built = SmallImage(std::string(300000, 's'));
  const std::string reference = registry().Add("simultaneous", "v1", built);
  std::vector<std::thread> threads;
  std::vector<absl::StatusOr<std::string>> ids(6, absl::UnknownError("not run"));
  for (auto& id : ids) threads.emplace_back([&] { id = client().Pull(reference); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& id : ids) {
    ASSERT_OK(id);
    EXPECT_EQ(*id, built.id);
  }
  EXPECT_OK(client().RemoveImage(reference));
}

TEST_F(ImageTest, SimultaneousRemovalsAllSucceed) {
  const std::string reference = registry().Add("removed", "v1", SmallImage("removed"));
  ASSERT_OK(client().Pull(reference));
  std::vector<std::thread> threads;
  std::vector<absl::Status> results(5, absl::UnknownError("not run"));
  for (absl::Status& result : results) {
    threads.emplace_back([&] {
      result = client().RemoveImage(reference);
      EXPECT_FALSE(Present(reference)) << "invisible once the call has returned";
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) EXPECT_OK(result);
}

// ---- failures: one line, the right code, nothing left (the oracle) ----

TEST_F(ImageTest, UnknownNameInTheRegistry) {
  const auto id = client().Pull(registry().host() + "/nothing/here:v1");
  EXPECT_CODE(id, kUnknown, kNotFound);
  EXPECT_THAT(std::string(id.status().message()), HasSubstr("nothing/here"));
}

TEST_F(ImageTest, MalformedReference) {
  for (const char* reference : {"", "UPPER/case:v1", "127.0.0.1:5000/a:b:c", "a@sha256:12"}) {
    EXPECT_CODE(client().Pull(reference), kInvalidArgument);
  }
}

TEST_F(ImageTest, CorruptLayerIsRefused) {
  const std::string reference = registry().Add("corrupt", "v1", SmallImage("corrupt"));
  registry().SetFault("/v2/corrupt/blobs/", Fault::kCorrupt);
  EXPECT_CODE(client().Pull(reference), kUnknown, kDataLoss);
  EXPECT_FALSE(Present(reference));
  registry().SetFault("/v2/corrupt/blobs/", Fault::kNone);
  ASSERT_OK(client().Pull(reference));
  EXPECT_OK(client().RemoveImage(reference));
}

TEST_F(ImageTest, ManifestThatIsNotTheDigestAskedForIsRefused) {
  const BuiltImage built = SmallImage("asked");
  const std::string reference =
      ByDigest(registry().Add("asked", "v1", built), built.ManifestDigest());
  registry().SetFault("/v2/asked/manifests/", Fault::kCorrupt);
  EXPECT_CODE(client().Pull(reference), kUnknown, kDataLoss);
  EXPECT_FALSE(Present(reference));
}

TEST_F(ImageTest, LayerWhoseContentIsNotItsDiffIdIsRefused) {
  BuiltImage built = SmallImage("honest");
  auto config = Json::parse(built.blobs.at(built.id).content);
  config["rootfs"]["diff_ids"][0] = "sha256:" + std::string(64, '0');
  const Blob liar{built.blobs.at(built.id).media_type, config.dump()};
  auto manifest = Json::parse(built.manifests.back().content);
  manifest["config"]["digest"] = Digest(liar.content);
  manifest["config"]["size"] = liar.content.size();
  built.blobs.erase(built.id);
  built.blobs.emplace(Digest(liar.content), liar);
  built.manifests.back().content = manifest.dump();
  const std::string reference = registry().Add("liar", "v1", built);
  EXPECT_CODE(client().Pull(reference), kUnknown, kDataLoss);
  EXPECT_FALSE(Present(reference));
}

TEST_F(ImageTest, TruncatedLayerIsRefused) {
  const std::string reference =
      registry().Add("truncated", "v1", SmallImage(std::string(100000, 't')));
  registry().SetFault("/v2/truncated/blobs/", Fault::kTruncate);
  EXPECT_FALSE(client().Pull(reference).ok());
  EXPECT_FALSE(Present(reference));
}

TEST_F(ImageTest, HangingRegistryGivesWayToTheCallersDeadline) {
  for (const Fault fault : {Fault::kHang, Fault::kSilence}) {
    const std::string name = absl::StrCat("hang", static_cast<int>(fault));
    const std::string reference = registry().Add(name, "v1", SmallImage(std::string(100000, 'h')));
    registry().SetFault(absl::StrCat("/v2/", name, "/blobs/"), fault);
    EXPECT_CODE(client().Pull(reference, absl::Seconds(2)), kDeadlineExceeded);
    EXPECT_FALSE(Present(reference));
    EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return registry().OpenConnections() == 0; }))
        << "the pull goes on after its caller has left";
  }
}

TEST_F(ImageTest, RegistryThatDoesNotListenIsUnavailable) {
  const auto id = client().Pull("127.0.0.1:1/none:v1");
  EXPECT_CODE(id, kUnknown);
  EXPECT_THAT(std::string(id.status().message()), StartsWith("RegistryUnavailable"));
}

TEST_F(ImageTest, RegistryThatFailsIsUnavailable) {
  const std::string reference = registry().Add("broken", "v1", SmallImage("broken"));
  registry().SetFault("/v2/broken/", Fault::kServerError);
  const auto id = client().Pull(reference);
  EXPECT_CODE(id, kUnknown);
  EXPECT_THAT(std::string(id.status().message()), StartsWith("RegistryUnavailable"));
}

TEST_F(ImageTest, DeniedPullSaysWhy) {
  const std::string reference = registry().Add("denied", "v1", SmallImage("denied"));
  registry().SetFault("/v2/denied/", Fault::kDenied);
  const auto id = client().Pull(reference);
  EXPECT_CODE(id, kUnknown, kUnauthenticated, kPermissionDenied);
  EXPECT_THAT(std::string(id.status().message()), HasSubstr("denied"));
}

TEST_F(ImageTest, PasswordBuysTheTokenThatTheRegistryWants) {
  const std::string reference = registry().Add("token", "v1", SmallImage("token"));
  registry().SetFault("/v2/token/", Fault::kNeedsToken);
  cri::PullImageRequest request;
  request.mutable_image()->set_image(reference);
  EXPECT_CODE(client().Call(&Images::PullImage, request), kUnknown, kUnauthenticated,
              kPermissionDenied);
  request.mutable_auth()->set_username("user");
  request.mutable_auth()->set_password("wrong");
  EXPECT_FALSE(client().Call(&Images::PullImage, request).ok());
  request.mutable_auth()->set_password("password");
  EXPECT_OK(client().Call(&Images::PullImage, request));
  request.mutable_auth()->Clear();
  request.mutable_auth()->set_auth("dXNlcjpwYXNzd29yZA==");
  EXPECT_OK(client().Call(&Images::PullImage, request));
  EXPECT_OK(client().RemoveImage(reference));
}

TEST_F(ImageTest, CallerWithoutTimeGetsDeadlineExceeded) {
  const std::string reference = registry().Add("hurry", "v1", SmallImage("hurry"));
  registry().SetFault("/v2/hurry/", Fault::kSilence);
  EXPECT_CODE(client().Pull(reference, absl::Milliseconds(1)), kDeadlineExceeded);
  EXPECT_FALSE(Present(reference));
}

// ---- layers ----

class LayersTest : public ImageTest {
 protected:
  // The tree of `path` in a container of the image.
  Json TreeOf(const std::string& reference) {
    auto pod = Pod::Run(client(), MakePodConfig(Name()));
    EXPECT_OK(pod);
    if (!pod.ok()) return Json::object();
    cri::ContainerConfig config =
        MakeProbe("c", {"tree", "/tree", "/opaque", "/becomes-file", "/becomes-dir",
                        "/becomes-real", "/later", "/long", "/implied"});
    config.mutable_image()->set_image(reference);
    config.set_log_path(absl::StrCat("c/", trees_++, ".log"));
    auto tree = pod->RunForJson(config);
    EXPECT_OK(tree);
    return tree.ok() ? *tree : Json::object();
  }
  int trees_ = 0;  // logs of one test are never appended to each other

  void ExpectLayersTree(const Json& tree) {
    const std::string deep = "/long/" + std::string(120, 'n');
    const std::map<std::string, std::string> contents = {
        {"/tree/keep", "keep\n"},
        {"/tree/gone", "back\n"},
        {"/tree/changed", "new\n"},
        {"/becomes-file", "file now\n"},
        {"/becomes-dir/inside", "i\n"},
        {"/becomes-real", "real\n"},
        {"/tree/owned", "owned\n"},
        {"/tree/setuid", "s\n"},
        {"/tree/attributes", "x\n"},
        {"/tree/hard", "keep\n"},
        {"/tree/empty", ""},
        {"/tree/sp ace", "s\n"},
        {"/tree/\xc3\x83\xc2\xbc", "u\n"},  // UTF-8 "ü", byte for byte as \u00c3\u00bc
        {"/later/file", "l\n"},
        {"/later/hard", "l\n"},
        {"/tree/gone-dir/new", "n\n"},
        {"/implied/dir/file", "i\n"},
        {deep + "/" + std::string(80, 'f'), "long\n"}};
    for (const auto& [path, content] : contents) {
      ASSERT_TRUE(tree.contains(path)) << path;
      EXPECT_EQ(tree[path]["type"], "file") << path;
      EXPECT_EQ(tree[path]["content"], content) << path;
    }
    std::set<std::string> files;
    for (const auto& [path, info] : tree.items()) {
      if (info["type"] == "file") files.insert(path);
    }
    std::set<std::string> expected;
    for (const auto& [path, content] : contents) expected.insert(path);
    EXPECT_EQ(files, expected) << "no whiteout, nothing deleted, nothing more";

    EXPECT_FALSE(tree.contains("/opaque"));
    EXPECT_FALSE(tree.contains("/tree/gone-dir/file"));
    EXPECT_EQ(tree["/tree/owned"]["uid"], 1000);
    EXPECT_EQ(tree["/tree/owned"]["gid"], 2000);
    EXPECT_EQ(tree["/tree/owned"]["mode"], 0640);
    EXPECT_EQ(tree["/tree/owned"]["mtime"], 1'700'000'000);
    EXPECT_EQ(tree["/tree/setuid"]["mode"], 04755);
    EXPECT_EQ(tree["/tree/sticky"]["mode"], 03775);
    EXPECT_EQ(tree["/tree/changed"]["mode"], 0600);
    EXPECT_EQ(tree["/later"]["mode"], 0711);
    EXPECT_EQ(tree["/implied/dir"]["mode"], 0755);
    EXPECT_EQ(tree["/tree/attributes"]["xattrs"]["user.berth"], "value");
    EXPECT_EQ(tree["/tree/device"]["type"], "char");
    EXPECT_EQ(tree["/tree/device"]["rdev"], "1:3");
    EXPECT_EQ(tree["/tree/device"]["mode"], 0666);
    EXPECT_EQ(tree["/tree/fifo"]["type"], "fifo");
    EXPECT_EQ(tree["/tree/link"]["target"], "keep");
    EXPECT_EQ(tree["/tree/absolute"]["target"], "/tree/keep");
    EXPECT_EQ(tree["/tree/dangling"]["target"], "../../../../nowhere");
    EXPECT_EQ(tree["/tree/hard"]["inode"], tree["/tree/keep"]["inode"]);
    EXPECT_EQ(tree["/tree/hard"]["nlink"], 2);
    EXPECT_EQ(tree["/later/hard"]["inode"], tree["/later/file"]["inode"]);
  }
};

TEST_F(LayersTest, StackAsTheImageSpecSays) {
  for (const Format format : {Format::kOci, Format::kDocker}) {
    ImageRecipe recipe = LayersRecipe();
    recipe.format = format;
    const std::string reference = registry().Add("layers", "v1", Build(recipe));
    ASSERT_OK(client().Pull(reference));
    ExpectLayersTree(TreeOf(reference));
    EXPECT_OK(client().RemoveImage(reference));
  }
}

TEST_F(LayersTest, ComeFromARealRegistryToo) {
  auto docker = DockerRegistry::Start(NodeDir() + "/docker-registry");
  if (absl::IsNotFound(docker.status())) GTEST_SKIP() << "docker-registry is not installed";
  ASSERT_OK(docker);
  const BuiltImage built = Build(LayersRecipe());
  ASSERT_OK_AND_ASSIGN(const std::string reference, (*docker)->Push("team/layers", "v1", built));
  ASSERT_OK_AND_ASSIGN(const std::string id, client().Pull(reference));
  EXPECT_EQ(id, built.id);
  ExpectLayersTree(TreeOf(reference));
  EXPECT_OK(client().RemoveImage(reference));
}

TEST_F(LayersTest, BusyboxFromARealRegistryRunsAShell) {
  auto docker = DockerRegistry::Start(NodeDir() + "/docker-registry");
  if (absl::IsNotFound(docker.status())) GTEST_SKIP() << "docker-registry is not installed";
  ASSERT_OK(docker);
  const BuiltImage index = BuildIndex({{"linux", "amd64", "", Build(BusyboxRecipe())}});
  ASSERT_OK_AND_ASSIGN(const std::string reference, (*docker)->Push("busybox", "v1", index));
  ASSERT_OK(client().Pull(reference));
  {
    ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
    cri::ContainerConfig config = MakeProbe("c", {});
    config.mutable_image()->set_image(reference);
    config.clear_command();
    config.add_command("sh");
    config.add_args("-c");
    config.add_args("echo $((6*7)); id -u; cat /etc/hostname >/dev/null && seq 3 | grep 2");
    ASSERT_OK_AND_ASSIGN(const FinishedContainer finished, pod.RunToEnd(config));
    EXPECT_EQ(Joined(finished.log, "stdout"), "42\n0\n2\n") << Joined(finished.log, "stderr");
  }
  EXPECT_OK(client().RemoveImage(reference));
}

TEST_F(LayersTest, LayerThatClimbsOutIsContainedOrRefused) {
  const std::vector<std::vector<TarEntry>> hostile = {
      {File("../../../../../../../../" + NodeDir().substr(1) + "/escaped", "x")},
      {Symlink("out", NodeDir()), File("out/escaped", "x")},
      {Symlink("up", "../../../../../../../.." + NodeDir()), File("up/escaped", "x")},
      {File("/" + NodeDir().substr(1) + "/escaped", "x")},
      {Hardlink("passwd", "../../../../../../../../etc/passwd")}};
  int number = 0;
  for (const auto& entries : hostile) {
    const std::string reference =
        registry().Add(absl::StrCat("hostile", number++), "v1", Build({.layers = {{entries}}}));
    if (client().Pull(reference).ok()) {
      EXPECT_OK(client().RemoveImage(reference));
    }
    EXPECT_NE(access((NodeDir() + "/escaped").c_str(), F_OK), 0) << reference;
  }
}

}  // namespace
}  // namespace berth::e2e
