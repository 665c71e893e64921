// Confinement by AppArmor, on a kernel that has it (hack/cgroup2 --apparmor); elsewhere skipped.
#include <gmock/gmock.h>

#include <cerrno>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "test/e2e/probed.h"
#include "test/e2e/subprocess.h"
#include "test/e2e/text_file.h"

namespace berth::e2e {
namespace {

using ::testing::HasSubstr;

constexpr char kLabel[] = "/proc/self/attr/current";
constexpr char kLocal[] = "berth-e2e-local";
// All is allowed but one file.
constexpr char kLocalText[] = R"(abi <kernel>,
profile berth-e2e-local flags=(attach_disconnected, mediate_deleted) {
  file,
  capability,
  network,
  mount,
  umount,
  signal,
  ptrace,
  deny /proc/version r,
}
)";

// "" or what the parser says.
std::string Parser(const std::string& action) {
  const std::string profile = absl::StrCat(NodeDir(), "/local-profile");
  std::ofstream(profile) << kLocalText;
  const std::string output = profile + "-output";
  auto process = Subprocess::Start(
      {.argv = {"/sbin/apparmor_parser", action, "--skip-cache", profile}, .output_path = output});
  if (!process.ok()) return process.status().ToString();
  const std::optional<int> code = process->Wait(absl::Minutes(1));
  return code == 0 ? "" : absl::StrCat("exit code ", code.value_or(-1), ": ", process->Output());
}

class AppArmorTest : public ProbedTest {
 protected:
  void SetUp() override {
    if (!absl::StartsWith(ContentOf("/sys/module/apparmor/parameters/enabled"), "Y"))
      GTEST_SKIP() << "this kernel has no AppArmor";
    ProbedTest::SetUp();
  }
  // Only AppArmor is in the way of what it may do: nothing is masked, no seccomp, all capabilities.
  static cri::ContainerConfig Probe(const std::vector<std::string>& arguments,
                                    cri::SecurityProfile::ProfileType type) {
    cri::ContainerConfig config = MakeProbe("c", arguments);
    NamespaceOptions(config)->set_pid(cri::CONTAINER);
    Security(config)->mutable_capabilities()->add_add_capabilities("ALL");
    Security(config)->mutable_seccomp()->set_profile_type(cri::SecurityProfile::Unconfined);
    Security(config)->mutable_apparmor()->set_profile_type(type);
    return config;
  }
  absl::StatusOr<Pod> RunPod() { return Pod::Run(client(), MakeKubeletPodConfig(Name())); }
  // The label of a container's first process, which prints it.
  std::string FirstLabel(Pod& pod, cri::ContainerConfig config) {
    config.clear_command();
    for (const char* word : {"/probe", "read", kLabel}) config.add_command(word);
    config.mutable_metadata()->set_name("label");
    config.set_log_path("label/0.log");
    const auto finished = pod.RunToEnd(config);
    EXPECT_OK(finished);
    if (!finished.ok()) return "";
    return std::string(absl::StripAsciiWhitespace(Joined(finished->log, "stdout")));
  }
  std::string ExecLabel(const std::string& id) {
    return std::string(absl::StripAsciiWhitespace(ReadInside(id, kLabel)));
  }
};

TEST_F(AppArmorTest, RuntimeDefaultConfinesContainerAndExec) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  const cri::ContainerConfig config = Probe({"sleep"}, cri::SecurityProfile::RuntimeDefault);
  EXPECT_EQ(FirstLabel(pod, config), "berth-default (enforce)");
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  EXPECT_EQ(ExecLabel(id), "berth-default (enforce)");
}

TEST_F(AppArmorTest, UnsetIsTheDefaultProfile) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  cri::ContainerConfig config = Probe({"sleep"}, cri::SecurityProfile::RuntimeDefault);
  Security(config)->clear_apparmor();
  EXPECT_EQ(FirstLabel(pod, config), "berth-default (enforce)");
}

TEST_F(AppArmorTest, DefaultProfileDeniesWhatUnconfinedMay) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  for (const auto type : {cri::SecurityProfile::Unconfined, cri::SecurityProfile::RuntimeDefault}) {
    const bool confined = type == cri::SecurityProfile::RuntimeDefault;
    cri::ContainerConfig config = Probe({"sleep"}, type);
    config.mutable_metadata()->set_name(confined ? "confined" : "free");
    config.set_log_path(confined ? "confined/0.log" : "free/0.log");
    ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
    const int denied = confined ? EACCES : 0;
    EXPECT_EQ(ExecCode(id, {"mount", "/dev/shm"}), denied);
    EXPECT_EQ(ExecCode(id, {"read", "/proc/timer_list"}), 0) << "only writing it is denied";
    EXPECT_EQ(ExecCode(id, {"put", "/proc/sys/vm/swappiness", "60"}), denied);
    ASSERT_OK_AND_ASSIGN(const Json report, pod.ExecForJson(id, {"report"}));
    EXPECT_EQ(report["syscalls"]["mount"] == "EACCES", confined) << report["syscalls"]["mount"];
    EXPECT_EQ(report["syscalls"]["af_alg"] == "EACCES", confined) << report["syscalls"]["af_alg"];
  }
}

TEST_F(AppArmorTest, LocalhostProfileThatIsLoadedConfines) {
  ASSERT_EQ(Parser("--replace"), "");
  {
    ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
    cri::ContainerConfig config = Probe({"sleep"}, cri::SecurityProfile::Localhost);
    Security(config)->mutable_apparmor()->set_localhost_ref(kLocal);
    EXPECT_EQ(FirstLabel(pod, config), "berth-e2e-local (enforce)");
    ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
    EXPECT_EQ(ExecLabel(id), "berth-e2e-local (enforce)");
    EXPECT_THAT(ReadInside(id, "/proc/version"), HasSubstr("Permission denied"));
  }
  EXPECT_EQ(Parser("--remove"), "");
}

TEST_F(AppArmorTest, ProfileThatIsNotLoadedIsRefused) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  cri::ContainerConfig config = Probe({"sleep"}, cri::SecurityProfile::Localhost);
  Security(config)->mutable_apparmor()->set_localhost_ref("berth-e2e-absent");
  const auto id = pod.Create(config);
  EXPECT_CODE(id, kFailedPrecondition);
  EXPECT_THAT(std::string(id.status().message()), HasSubstr("berth-e2e-absent"));
}

TEST_F(AppArmorTest, UnconfinedIsUnconfined) {
  ASSERT_OK_AND_ASSIGN(Pod pod, RunPod());
  const cri::ContainerConfig config = Probe({"sleep"}, cri::SecurityProfile::Unconfined);
  EXPECT_EQ(FirstLabel(pod, config), "unconfined");
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  EXPECT_EQ(ExecLabel(id), "unconfined");
}

TEST_F(AppArmorTest, PrivilegedIsUnconfined) {
  cri::PodSandboxConfig pod_config = MakeKubeletPodConfig(Name());
  pod_config.mutable_linux()->mutable_security_context()->set_privileged(true);
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), pod_config));
  cri::ContainerConfig config = Probe({"sleep"}, cri::SecurityProfile::RuntimeDefault);
  Security(config)->set_privileged(true);
  EXPECT_EQ(FirstLabel(pod, config), "unconfined");
}

}  // namespace
}  // namespace berth::e2e
