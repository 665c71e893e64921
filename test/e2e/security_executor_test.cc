// Known attacks on the part that starts processes, by their row numbers: S-01 to S-12.
#include <gmock/gmock.h>

#include <sys/stat.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "test/e2e/hostile.h"
#include "test/e2e/text_file.h"

namespace berth::e2e {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

using SecurityTest = HostileTest;

bool IsEmptyOrAbsent(const Json& info) {
  return info.value("type", "") == "ENOENT" || info.value("read", "") == "empty";
}

TEST_F(SecurityTest, S_01_JoiningProcessShowsNoDescriptors) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeKubeletProbe("c", {"watch"})));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(ExecCode(id, {"exit", "0"}), 0);
  ASSERT_OK(client().Stop(id, 30));
  ASSERT_OK_AND_ASSIGN(const auto log, ReadLog(pod.LogPath("c")));
  const Json seen = Json::parse(Joined(log, "stdout"), nullptr, false);
  ASSERT_TRUE(seen.is_object());
  EXPECT_GT(seen.value("rounds", 0), 0);
  for (const std::string target : seen["descriptors"])
    EXPECT_TRUE(absl::StartsWith(target, "pipe:") || absl::StartsWith(target, "/dev/null"))
        << target;
}

TEST_F(SecurityTest, S_02_InterpreterProcSelfExeDoesNotReachTheRuntime) {
  const std::string monitor = BERTH_BIN_DIR "/berth-monitor", before = ContentOf(monitor);
  const std::string image = MakeImage({File("evil", "#!/proc/self/exe\n", 0755)});
  cri::ContainerConfig config = From(image, {});
  config.set_command(0, "/evil");
  RunWhatever(config);
  EXPECT_EQ(ContentOf(monitor), before);
}

TEST_F(SecurityTest, S_02_ProgramOfTheRuntimeCannotBeOpenedForWriting) {
  cri::PodSandboxConfig pod_config = MakeKubeletPodConfig(Name());
  pod_config.mutable_linux()->mutable_security_context()->set_privileged(true);
  NamespaceOptions(pod_config)->set_pid(cri::NODE);
  cri::ContainerConfig config = MakeKubeletProbe("c", {"spy"});
  Security(config)->set_privileged(true);
  NamespaceOptions(config)->set_pid(cri::NODE);
  const Json processes = Report(pod_config, config);
  int monitors = 0;
  for (const auto& [pid, info] : processes.items()) {
    if (!absl::StartsWith(info.value("comm", ""), "berth-mon")) continue;
    ++monitors;
    EXPECT_NE(info.value("exe_write", ""), "ok") << pid;
  }
  EXPECT_GT(monitors, 0);
}

TEST_F(SecurityTest, S_03_FakedProcIsNotUsed) {
  for (const char* target : {"tmp", "/data", "../../../../proc"}) {
    const auto image = TryImage({File(".wh.proc", ""), Symlink("proc", target)});
    if (!image.ok()) continue;
    ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
    const auto report = pod.RunForJson(From(*image, {"report"}));
    if (!report.ok()) continue;  // refused
    EXPECT_EQ((*report)["processes"].size(), 1u) << target;
    EXPECT_EQ((*report)["status"]["Seccomp"], "2") << target;
  }
}

TEST_F(SecurityTest, S_04_MountTargetThatIsExchangedForALinkLoses) {
  Canary canary(Name("-canary"));
  HostDir shared(Name("-shared")), other(Name("-other"));
  shared.MakeDir("dir");
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  cri::ContainerConfig attacker = MakeKubeletProbe("attacker", {"swap", "/vol/dir", canary.path()});
  AddMount(attacker, "/vol", shared.path());
  ASSERT_OK(pod.RunContainer(attacker));
  for (uint32_t attempt = 0; attempt < 15; ++attempt) {
    cri::ContainerConfig victim = MakeKubeletProbe("victim", {"exit", "0"});
    victim.mutable_metadata()->set_attempt(attempt);
    victim.set_log_path(absl::StrCat("victim/", attempt, ".log"));
    AddMount(victim, "/vol", shared.path());
    AddMount(victim, "/vol/dir/made", other.path());
    const auto id = pod.Create(victim);
    if (id.ok() && client().Start(*id).ok()) {
      EXPECT_OK(client().WaitExit(*id));
    }
  }
}

TEST_F(SecurityTest, S_05_NothingIsInheritable) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  Security(config)->mutable_capabilities()->add_add_capabilities("NET_ADMIN");
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  ASSERT_OK_AND_ASSIGN(const Json exec, pod.ExecForJson(id, {"report"}));
  cri::ContainerConfig first = MakeKubeletProbe("d", {"report"});
  ASSERT_OK_AND_ASSIGN(const Json report, pod.RunForJson(first));
  for (const Json& seen : {exec, report}) {
    EXPECT_EQ(seen["status"]["CapInh"], "0000000000000000");
    EXPECT_EQ(seen["status"]["CapAmb"], "0000000000000000");
  }
}

TEST_F(SecurityTest, S_06_CgroupsAreReadOnlyAndPrivate) {
  cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  Security(config)->mutable_capabilities()->add_add_capabilities("SYS_ADMIN");
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  ASSERT_OK_AND_ASSIGN(const Json report, pod.ExecForJson(id, {"report"}));
  EXPECT_NE(report["namespaces"]["cgroup"], OwnNamespace("cgroup"));
  for (const MountLine& mount : ParseMountinfo(report["mountinfo"])) {
    if (absl::StartsWith(mount.target, "/sys")) {
      EXPECT_THAT(mount.options, testing::StartsWith("ro")) << mount.target;
    }
  }
  for (const char* file : {"memory/release_agent", "devices/release_agent", "cgroup.procs",
                           "memory/notify_on_release"}) {
    const int code = ExecCode(id, {"put", absl::StrCat("/sys/fs/cgroup/", file), "/evil"});
    EXPECT_THAT(code, AnyOf(EROFS, ENOENT, EACCES, EPERM)) << file;
  }
}

TEST_F(SecurityTest, S_07_WorkingDirectoryIsNoDescriptor) {
  for (int fd = 3; fd < 16; ++fd) {
    cri::ContainerConfig config = MakeKubeletProbe("c", {"report"});
    config.mutable_metadata()->set_attempt(static_cast<uint32_t>(fd));
    config.set_working_dir(absl::StrCat("/proc/self/fd/", fd));
    ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
    const auto report = pod.RunForJson(config);
    if (!report.ok()) continue;  // refused
    EXPECT_THAT(report->value("cwd", ""), Not(HasSubstr("unreachable"))) << fd;
    EXPECT_EQ(report->value("cwd", "").find("/proc/"), std::string::npos) << fd;
  }
}

TEST_F(SecurityTest, S_07_WorkingDirectoryIsNotMadeThroughALink) {
  Canary canary(Name("-canary"));
  const std::string image = MakeImage({Symlink("out", canary.path())});
  cri::ContainerConfig config = From(image, {"exit", "0"});
  config.set_working_dir("/out/made");
  RunWhatever(config);
}

TEST_F(SecurityTest, S_08_MountTargetsAreNotMadeThroughALink) {
  Canary canary(Name("-canary"));
  HostDir volume(Name("-volume"));
  const std::string image = MakeImage({Symlink("out", canary.path()),
                                       Symlink("up", absl::StrCat("../../..", canary.path())),
                                       Symlink("etc/hosts", canary.path() + "/made-hosts")});
  cri::ContainerConfig config = From(image, {"exit", "0"});
  AddMount(config, "/out/dir", volume.path());
  AddMount(config, "/up/deep/file", volume.Write("file", "text"));
  RunWhatever(config);
}

TEST_F(SecurityTest, S_09_MaskIsNotMadeOfTheImagesDevNull) {
  const std::string image = MakeImage(
      {Dir("dev"), Symlink("dev/null", "/proc/sys/kernel/core_pattern"), File("secret2", "x")});
  cri::ContainerConfig config = From(image, {"paths", "/secret2", "/proc/kcore", "/dev/null"});
  Security(config)->add_masked_paths("/secret2");
  const Json paths = Report(config);
  EXPECT_TRUE(IsEmptyOrAbsent(paths["/secret2"])) << paths;
  EXPECT_TRUE(IsEmptyOrAbsent(paths["/proc/kcore"])) << paths;
  EXPECT_EQ(paths["/dev/null"]["type"], "char");
}

TEST_F(SecurityTest, S_09_MaskThroughALinkIsARefusalOrAMask) {
  const std::string image = MakeImage({Symlink("link", "/proc/self")});
  cri::ContainerConfig config = From(image, {"paths", "/proc/self/status"});
  Security(config)->add_masked_paths("/link/environ");
  RunWhatever(config);
}

TEST_F(SecurityTest, S_10_ConsoleIsNotMadeThroughALink) {
  Canary canary(Name("-canary"));
  const std::string image = MakeImage(
      {Dir("dev"), Symlink("dev/console", canary.path() + "/canary"),
       Symlink("dev/pts", canary.path()), Symlink("dev/ptmx", canary.path() + "/canary")});
  cri::ContainerConfig config = From(image, {"report"});
  config.set_tty(true);
  const Json report = Report(config);
  EXPECT_EQ(report["dev"]["/dev/console"]["type"], "char");
  EXPECT_EQ(report["stdio"][0]["tty"], true);
}

TEST_F(SecurityTest, S_11_NothingIsMountedOverProcOrSys) {
  HostDir volume(Name("-volume"));
  const std::string image = MakeImage({Symlink("data2", "/proc"), Symlink("data3", "../sys/kernel"),
                                       Symlink("data4", "/proc/self/attr")});
  for (const char* target :
       {"/proc", "/proc/self", "/proc/self/attr", "/proc/sys", "/proc/sys/kernel", "/proc/1/attr",
        "/sys/kernel", "/sys/fs/selinux", "/data2", "/data2/self/attr", "/data3", "/data4",
        "/dev/../proc/sys", "//proc//sys"}) {
    cri::ContainerConfig config = From(image, {"exit", "0"});
    AddMount(config, target, volume.path());
    EXPECT_FALSE(Refusal(config).ok()) << target;
  }
}

TEST_F(SecurityTest, S_12_DevThatIsALinkIsReplacedOrRefused) {
  Canary canary(Name("-canary"));
  for (const std::string& target :
       {canary.path(), std::string("/proc/self/root"), std::string("../../..") + canary.path()}) {
    const auto image = TryImage({Symlink("dev", target)});
    if (!image.ok()) continue;
    ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
    const auto report = pod.RunForJson(From(*image, {"report"}));
    if (!report.ok()) continue;  // refused
    EXPECT_EQ((*report)["dev"]["/dev/null"].value("rdev", ""), "1:3") << target;
  }
}

}  // namespace
}  // namespace berth::e2e
