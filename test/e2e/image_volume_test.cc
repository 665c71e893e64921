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

}  // namespace
}  // namespace berth::e2e
