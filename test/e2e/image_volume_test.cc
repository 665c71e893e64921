// Mounts of an image: content, sub paths, programs, and that the image stays while it is mounted.
#include <gmock/gmock.h>

#include "test/e2e/image.h"
#include "test/e2e/probed.h"

namespace berth::e2e {
namespace {

using ::testing::HasSubstr;

class ImageVolumeTest : public ProbedTest {
 protected:
  void SetUp() override {
    ProbedTest::SetUp();
    if (HasFatalFailure()) return;
    TarEntry program = ProbeRecipe().layers[1].entries[0];
    program.path = "bin/tool";
    const ImageRecipe recipe{
        .layers = {{{Dir("bin"), program, Dir("model"), File("model/weights", "weights\n"),
                     File("model/gone", "x"), Symlink("model/out", "../../../../etc"),
                     Symlink("inner", "model"), File("top", "top\n")}},
                   {{File("model/.wh.gone", ""), File("model/second", "2\n")}}},
        .config = nlohmann::json::object()};
    reference_ = node().registry().Add("model", "v1", Build(recipe));
    auto id = client().Pull(reference_);
    ASSERT_OK(id);
    id_ = *id;
  }
  void TearDown() override {
    if (!reference_.empty()) {
      EXPECT_OK(client().RemoveImage(reference_));
    }
    ProbedTest::TearDown();
  }
  cri::ContainerConfig Container(const std::vector<std::string>& arguments,
                                 const std::string& sub_path = "") {
    cri::ContainerConfig config = MakeKubeletProbe("c", arguments);
    cri::Mount* mount = config.add_mounts();
    mount->set_container_path("/model");
    mount->mutable_image()->set_image(reference_);
    mount->set_image_sub_path(sub_path);
    mount->set_readonly(true);
    return config;
  }
  std::string reference_, id_;
};

TEST_F(ImageVolumeTest, ShowsTheStackedLayersReadOnly) {
  const Json paths = Report(Container({"paths", "/model/top", "/model/model/weights",
                                       "/model/model/second", "/model/model/gone", "/model"}));
  EXPECT_EQ(paths["/model/top"]["read"], "content");
  EXPECT_EQ(paths["/model/model/weights"]["read"], "content");
  EXPECT_EQ(paths["/model/model/second"]["read"], "content");
  EXPECT_EQ(paths["/model/model/gone"]["type"], "ENOENT");
  EXPECT_EQ(paths["/model"]["write"], "EROFS");
}

TEST_F(ImageVolumeTest, SubPathIsTheRootOfTheMount) {
  const Json paths = Report(Container({"paths", "/model/weights", "/model/top"}, "model"));
  EXPECT_EQ(paths["/model/weights"]["read"], "content");
  EXPECT_EQ(paths["/model/top"]["type"], "ENOENT");
}

// Whether it stays inside the image or not.
TEST_F(ImageVolumeTest, LinkInASubPathIsNeverFollowed) {
  for (const char* sub_path : {"inner", "model/out", "inner/nothing", "model/out/ssh"}) {
    const absl::Status refusal = Refusal(Container({"report"}, sub_path));
    EXPECT_CODE(refusal, kInvalidArgument) << sub_path;
    EXPECT_THAT(std::string(refusal.message()), HasSubstr(sub_path));
  }
}

TEST_F(ImageVolumeTest, BadSubPathsAreRefused) {
  for (const char* sub_path : {"absent", "top", "../model", "/model", "model/../..", "model/out"}) {
    const absl::Status refusal = Refusal(Container({"report"}, sub_path));
    EXPECT_FALSE(refusal.ok()) << sub_path;
  }
}

TEST_F(ImageVolumeTest, ProgramsOfItRun) {
  cri::ContainerConfig config = Container({"report"});
  config.set_command(0, "/model/bin/tool");
  EXPECT_EQ(Report(config)["argv"][0], "/model/bin/tool");
}

TEST_F(ImageVolumeTest, MustBeReadonlyAndHaveNoHostPath) {
  cri::ContainerConfig writable = Container({"report"}), host = Container({"report"});
  writable.mutable_mounts(0)->set_readonly(false);
  EXPECT_CODE(Refusal(writable), kInvalidArgument);
  host.mutable_mounts(0)->set_host_path("/var/tmp");
  EXPECT_CODE(Refusal(host), kInvalidArgument);
}

TEST_F(ImageVolumeTest, UnknownImageIsAMountFailure) {
  cri::ContainerConfig config = Container({"report"});
  config.mutable_mounts(0)->mutable_image()->set_image("127.0.0.1:1/absent:v1");
  const absl::Status refusal = Refusal(config);
  EXPECT_FALSE(refusal.ok());
  EXPECT_THAT(std::string(refusal.message()), HasSubstr("ImageVolumeMountFailed"));
}

TEST_F(ImageVolumeTest, StatusNamesTheImage) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(Container({"sleep"})));
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
  ASSERT_EQ(status.mounts_size(), 1);
  EXPECT_EQ(status.mounts(0).image().image(), reference_);
  EXPECT_EQ(status.mounts(0).image().image_ref(), id_);
}

TEST_F(ImageVolumeTest, ContentOutlivesTheRemovalOfTheImage) {
  {
    ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
    ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(Container({"sleep"})));
    client().RemoveImage(reference_).IgnoreError();  // refused or carried out: the mount stays
    ASSERT_OK_AND_ASSIGN(const Json paths, pod.ExecForJson(id, {"paths", "/model/model/weights"}));
    EXPECT_EQ(paths["/model/model/weights"]["read"], "content");
  }
  EXPECT_OK(client().RemoveImage(reference_));
}

TEST_F(ImageVolumeTest, TwoContainersShareOneImage) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string first, pod.RunContainer(Container({"sleep"})));
  cri::ContainerConfig config = Container({"sleep"});
  config.mutable_metadata()->set_name("d");
  config.set_log_path("d/0.log");
  ASSERT_OK_AND_ASSIGN(const std::string second, pod.RunContainer(config));
  ASSERT_OK(client().Remove(first));
  ASSERT_OK_AND_ASSIGN(const Json paths, pod.ExecForJson(second, {"paths", "/model/top"}));
  EXPECT_EQ(paths["/model/top"]["read"], "content");
}

// VOLUME of an image, in a read-only root.
class DeclaredVolumeTest : public ProbedTest {
 protected:
  void SetUp() override {
    ProbedTest::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    ImageRecipe recipe = ProbeRecipe();
    TarEntry data = Dir("data", 0700), file = File("data/file", "text\n", 0600);
    data.uid = data.gid = file.uid = file.gid = 1000;
    recipe.layers.push_back({{data, file, Dir("plain"), Symlink("link", "/data")}});
    recipe.config["Volumes"] = {{"/data", nlohmann::json::object()},
                                {"/new/place", nlohmann::json::object()},
                                {"/link/below", nlohmann::json::object()}};
    reference_ = node().registry().Add("volumes", "v1", Build(recipe));
    ASSERT_OK(client().Pull(reference_));
  }
  void TearDown() override {
    if (!reference_.empty()) {
      EXPECT_OK(client().RemoveImage(reference_));
    }
    ProbedTest::TearDown();
  }
  cri::ContainerConfig Container(const std::vector<std::string>& arguments) {
    cri::ContainerConfig config = MakeKubeletProbe("c", arguments);
    config.mutable_image()->set_image(reference_);
    Security(config)->set_readonly_rootfs(true);
    Security(config)->mutable_run_as_user()->set_value(1000);
    Security(config)->mutable_run_as_group()->set_value(1000);
    return config;
  }
  std::string reference_;
};

TEST_F(DeclaredVolumeTest, KeepsTheImagesContentAndOwnerAndIsWritable) {
  const Json paths =
      Report(Container({"paths", "/data", "/data/file", "/plain", "/new/place", "/data/below"}));
  EXPECT_EQ(paths["/data"]["uid"], 1000);
  EXPECT_EQ(paths["/data"]["mode"], 0700);
  EXPECT_EQ(paths["/data"]["write"], "ok");
  EXPECT_EQ(paths["/data/file"]["uid"], 1000);
  EXPECT_EQ(paths["/data/file"]["read"], "content");
  EXPECT_EQ(paths["/plain"]["write"], "EROFS");
  EXPECT_EQ(paths["/new/place"]["type"], "dir");
  EXPECT_EQ(paths["/data/below"]["type"], "dir") << "through a link of the image";
}

TEST_F(DeclaredVolumeTest, IsTheSameInAUserNamespace) {
  cri::PodSandboxConfig pod_config = MakeKubeletPodConfig(Name());
  auto* user = pod_config.mutable_linux()
                   ->mutable_security_context()
                   ->mutable_namespace_options()
                   ->mutable_userns_options();
  user->set_mode(cri::POD);
  for (auto* mapping : {user->add_uids(), user->add_gids()}) {
    mapping->set_container_id(0);
    mapping->set_host_id(1'000'000);
    mapping->set_length(65536);
  }
  cri::ContainerConfig config = Container({"paths", "/data", "/plain"});
  *NamespaceOptions(config)->mutable_userns_options() = *user;
  const Json paths = Report(pod_config, config);
  EXPECT_EQ(paths["/data"]["uid"], 1000);
  EXPECT_EQ(paths["/data"]["write"], "ok");
  EXPECT_EQ(paths["/plain"]["write"], "EROFS");
}

}  // namespace
}  // namespace berth::e2e
