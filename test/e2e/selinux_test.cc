// Confinement by SELinux, on a kernel that has it and the policy selinux.cil (hack/cgroup2
// --selinux); elsewhere skipped.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "test/e2e/monitor_process.h"
#include "test/e2e/probed.h"
#include "test/e2e/volume.h"

namespace berth::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

constexpr char kLabel[] = "/proc/self/attr/current";

std::string WithoutNul(std::string label) {
  label.resize(label.find_last_not_of(std::string_view("\0\n ", 3)) + 1);
  return label;
}

std::string FileLabel(const std::string& path) {
  char label[256];
  const ssize_t size = getxattr(path.c_str(), "security.selinux", label, sizeof(label));
  return size < 0 ? "" : WithoutNul(std::string(label, static_cast<size_t>(size)));
}

class SelinuxTest : public ProbedTest {
 protected:
  void SetUp() override {
    if (access("/sys/fs/selinux/enforce", F_OK) != 0)
      GTEST_SKIP() << "this kernel has no SELinux policy";
    ProbedTest::SetUp();
  }
  absl::StatusOr<Pod> RunPod(const std::string& suffix = "") {
    return Pod::Run(client(), MakeKubeletPodConfig(Name(suffix)));
  }
  std::string LabelIn(const std::string& container) {
    return WithoutNul(ReadInside(container, kLabel));
  }
  // What the container's first process prints of itself.
  static std::string FirstLabel(Pod& pod, cri::ContainerConfig config) {
    config.clear_command();
    for (const char* word : {"/probe", "read", kLabel}) config.add_command(word);
    config.mutable_metadata()->set_name("label");
    config.set_log_path("label/0.log");
    const auto finished = pod.RunToEnd(config);
    EXPECT_OK(finished);
    return finished.ok() ? WithoutNul(Joined(finished->log, "stdout")) : "";
  }
};

TEST_F(SelinuxTest, EachPodHasALevelOfItsOwn) {
  ASSERT_OK_AND_ASSIGN(Pod first, RunPod("-first"));
  ASSERT_OK_AND_ASSIGN(Pod second, RunPod("-second"));
  const cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  ASSERT_OK_AND_ASSIGN(const std::string one, first.RunContainer(config));
  ASSERT_OK_AND_ASSIGN(const std::string other, second.RunContainer(config));
  EXPECT_THAT(LabelIn(one), MatchesRegex("system_u:system_r:container_t:s0:c[0-9]+,c[0-9]+"));
  EXPECT_EQ(FirstLabel(first, config), LabelIn(one)) << "of the same pod";
  EXPECT_NE(LabelIn(other), LabelIn(one));
}

// Levels are counted anew from a start on.
TEST_F(SelinuxTest, LevelOfAPodThatHasLostItsMonitorIsNotGivenToAnother) {
  const auto start_again = [&] {
    ASSERT_OK(node().daemon().StartAgain());
    node().Reconnect();
  };
  ASSERT_OK(node().daemon().Kill());
  ASSERT_NO_FATAL_FAILURE(start_again());
  ASSERT_OK_AND_ASSIGN(Pod first, RunPod("-first"));
  const cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  ASSERT_OK_AND_ASSIGN(const std::string one, first.RunContainer(config));
  const std::string label = LabelIn(one);
  ASSERT_OK(node().daemon().Kill());
  ASSERT_EQ(kill(MonitorOf(first.id()), SIGKILL), 0);
  ASSERT_NO_FATAL_FAILURE(start_again());
  ASSERT_OK_AND_ASSIGN(Pod second, RunPod("-second"));
  ASSERT_OK_AND_ASSIGN(const std::string other, second.RunContainer(config));
  EXPECT_NE(LabelIn(other), label);
}

TEST_F(SelinuxTest, OptionsOfTheRequestAreTheLabel) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  auto* options = Security(config)->mutable_selinux_options();
  options->set_type("spc_t");
  options->set_level("s0:c7,c9");
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  EXPECT_EQ(LabelIn(id), "system_u:system_r:spc_t:s0:c7,c9");
  EXPECT_EQ(FirstLabel(pod, config), "system_u:system_r:spc_t:s0:c7,c9");
  ASSERT_OK_AND_ASSIGN(const Json report, pod.ExecForJson(id, {"report"}));
  EXPECT_THAT(MountAt(report, "/").super_options,
              HasSubstr("context=\"system_u:object_r:container_file_t:s0:c7,c9\""));
}

TEST_F(SelinuxTest, LabelThatThePolicyDoesNotHaveIsRefused) {
  cri::ContainerConfig config = MakeKubeletProbe("c", {"exit", "0"});
  Security(config)->mutable_selinux_options()->set_type("absent_t");
  EXPECT_THAT(std::string(Refusal(config).message()), HasSubstr("absent_t"));
}

TEST_F(SelinuxTest, RelabelledVolumeIsWrittenByItsPodOnly) {
  HostDir volume(Name("-volume"));
  const std::string file = volume.Write("file", "old", 0666);
  ASSERT_OK_AND_ASSIGN(Pod owner, RunPod("-owner"));
  cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  AddMount(config, "/vol", volume.path())->set_selinux_relabel(true);
  ASSERT_OK_AND_ASSIGN(const std::string id, owner.RunContainer(config));
  std::string expected = LabelIn(id);
  ASSERT_THAT(expected, StartsWith("system_u:system_r:container_t:"));
  expected.replace(0, strlen("system_u:system_r:container_t"),
                   "system_u:object_r:container_file_t");
  EXPECT_EQ(FileLabel(file), expected);
  EXPECT_EQ(ExecCode(id, {"put", "/vol/file", "new"}), 0);

  ASSERT_OK_AND_ASSIGN(Pod stranger, RunPod("-stranger"));
  cri::ContainerConfig other = MakeKubeletProbe("c", {"sleep"});
  AddMount(other, "/vol", volume.path());
  ASSERT_OK_AND_ASSIGN(const std::string second, stranger.RunContainer(other));
  EXPECT_EQ(ExecCode(second, {"put", "/vol/file", "evil"}), EACCES);
  EXPECT_EQ(volume.Read("file"), "new");
}

}  // namespace
}  // namespace berth::e2e
