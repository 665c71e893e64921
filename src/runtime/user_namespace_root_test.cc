// Pods with a user namespace of their own: who owns what, and what their root may do.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "src/runtime/testing/monitor_fixture.h"
#include "src/runtime/volumes.h"

namespace berth {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr uid_t kHostId = 200000;

class UserNamespaceTest : public MonitorTest {
 protected:
  void StartPod(PodSpec spec = {}) {
    spec.hostname = "inside";
    spec.user = {.uids = {{.container_id = 0, .host_id = kHostId, .length = 65536}},
                 .gids = {{.container_id = 0, .host_id = kHostId, .length = 65536}}};
    StartMonitor(spec);
  }
  // The spec of a container of such a pod; its options for Run and StartPlan are in `options`.
  ContainerSpec MakeInside(const Container& container, const std::string& script,
                           StartOptions* options) {
    options->user_namespace = hello_.user_namespace.get();
    ContainerSpec spec = MakeSpec(container, {"sh", "-c", script});
    spec.mounts = StandardMounts({.user_namespace = true, .pod_dir = "pods/pod"});
    spec.devices = StandardDevices(true);
    spec.namespaces.user = {.uids = {{.container_id = 0, .host_id = kHostId, .length = 65536}},
                            .gids = {{.container_id = 0, .host_id = kHostId, .length = 65536}}};
    spec.namespaces.own_pid = options->pid_mode == wire::PidMode::kNew;
    return spec;
  }
  std::string RunInside(const std::string& script, StartOptions options = {}) {
    Container& container = MakeContainer();
    const ContainerSpec spec = MakeInside(container, script, &options);
    return Run(container, spec, options);
  }
};

TEST_F(UserNamespaceTest, IsHandedOutWithItsMap) {
  StartPod();
  ASSERT_TRUE(hello_.user_namespace.valid());
  EXPECT_TRUE(hello_.network_namespace.valid());
  struct stat own, pods;
  ASSERT_EQ(stat("/proc/self/ns/user", &own), 0);
  ASSERT_EQ(fstat(hello_.user_namespace.get(), &pods), 0);
  EXPECT_NE(own.st_ino, pods.st_ino);
  struct stat monitors;
  ASSERT_EQ(stat(absl::StrCat("/proc/", monitor_.pid, "/ns/user").c_str(), &monitors), 0);
  EXPECT_EQ(monitors.st_ino, own.st_ino) << "the monitor stays where it was";
  EXPECT_EQ(Children().size(), 0u) << "nobody has to hold the namespace";
}

TEST_F(UserNamespaceTest, IsTheNodesForOthers) {
  StartMonitor();
  EXPECT_FALSE(hello_.user_namespace.valid());
}

TEST_F(UserNamespaceTest, RootOfAContainerIsSomebodyElseOutside) {
  StartPod();
  const std::string text = RunInside(
      "id -u; cat /proc/self/uid_map; busybox hostname; busybox hostname other 2>&1;"
      "echo pid $$; stat -c '%u %g %n' / /bin /etc /dev /dev/shm "
      "/sys /proc /proc/1 /etc/hosts; echo x > /made; echo y > /bin/made; cat /made");
  EXPECT_THAT(text, HasSubstr("0\n         0     200000      65536\ninside\n"));
  for (const char* path : {"/", "/bin", "/etc", "/dev", "/dev/shm", "/proc/1", "/etc/hosts"})
    EXPECT_THAT(text, HasSubstr(absl::StrCat("0 0 ", path, "\n"))) << text;
  EXPECT_THAT(text, HasSubstr("\nx\n"));
  // On disk the writable layer belongs to the ids inside, as the layers do.
  struct stat info;
  const std::string made = absl::StrCat(data_, "/containers/", containers_[0]->id, "/upper/made");
  ASSERT_EQ(stat(made.c_str(), &info), 0) << made;
  EXPECT_EQ(info.st_uid, 0u);
}

TEST_F(UserNamespaceTest, TheProcessRunsAsTheMappedIdAndIsTheContainers) {
  StartPod();
  Container& container = MakeContainer();
  StartOptions options;
  const ContainerSpec spec = MakeInside(container, "exec sleep 1000", &options);
  const absl::StatusOr<pid_t> pid = StartPlan(container, PlanOf(container, spec, options), options);
  ASSERT_TRUE(pid.ok()) << pid.status();
  struct stat info;
  ASSERT_EQ(stat(absl::StrCat("/proc/", *pid).c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, kHostId);
  const std::string cgroup =
      ReadFileAt(AT_FDCWD, absl::StrCat("/proc/", *pid, "/cgroup")).value_or("");
  EXPECT_THAT(cgroup, HasSubstr(container.cgroup));
  EXPECT_EQ(Children().size(), 1u) << "the process that entered the namespace has ended";
  EXPECT_TRUE(client_->Stop(container.id, SIGKILL, absl::ZeroDuration()).ok());
  EXPECT_EQ(AwaitExit(container.id).exit_code, 128 + SIGKILL);
}

TEST_F(UserNamespaceTest, HasDevicesThatWorkAndOwnsItsKernelFileSystems) {
  StartPod();
  const std::string text = RunInside(
      "echo gone > /dev/null && dd if=/dev/zero bs=4 count=1 2>/dev/null | busybox wc -c;"
      "busybox head -c 3 /dev/urandom | busybox wc -c; ls -l /dev/null | busybox cut -c1;"
      "ls /sys/class/net; grep -c . /proc/1/status >/dev/null && echo proc;"
      "echo 70000 > /proc/sys/net/ipv4/ip_local_port_range 2>/dev/null; "
      "echo 0 > /proc/sys/kernel/sysrq 2>/dev/null || echo refused; busybox mknod /x c 1 3 2>&1");
  EXPECT_THAT(text, AllOf(HasSubstr("4\n3\nc\n"), HasSubstr("lo\n"), HasSubstr("proc\n"),
                          HasSubstr("refused\n"), HasSubstr("Operation not permitted")));
}

TEST_F(UserNamespaceTest, SeesNothingOfTheNodeAfterThePivot) {
  StartPod();
  const std::string text =
      RunInside("busybox cut -d' ' -f5 /proc/self/mountinfo; ls /; ls /data /rootfs 2>&1");
  EXPECT_THAT(text, AllOf(Not(HasSubstr("\nrootfs\n")), Not(HasSubstr("\ndata\n")),
                          Not(HasSubstr("\nshm\n")), HasSubstr("/data: No such file"),
                          HasSubstr("/rootfs: No such file")));
  int procs = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) procs += line == "/proc";
  EXPECT_EQ(procs, 1);
}

TEST_F(UserNamespaceTest, ExecEntersItAndIsRootThere) {
  StartPod();
  Container& container = MakeContainer();
  StartOptions options;
  const ContainerSpec spec = MakeInside(container, "exec sleep 1000", &options);
  ASSERT_TRUE(StartPlan(container, PlanOf(container, spec, options), options).ok());
  const LaunchPlan plan =
      BuildExecPlan({.args = {"sh", "-c", "id -u; cat /proc/self/uid_map; echo hi > /dev/stdout"},
                     .env = {"PATH=/bin"},
                     .identity = {.caps = Caps(DefaultCapabilities())},
                     .user_namespace = true});
  const absl::StatusOr<ExecSyncResult> result =
      client_->ExecSync({.container_id = container.id, .plan = &plan, .max_output_bytes = kOutput});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 0) << result->error_output;
  EXPECT_THAT(result->output, HasSubstr("0\n         0     200000"));
}

TEST_F(UserNamespaceTest, OtherUsersCanOpenTheirStdoutAgain) {
  StartPod();
  Container& container = MakeContainer();
  StartOptions options;
  ContainerSpec spec = MakeInside(container, "id -u; echo again > /dev/stdout", &options);
  spec.identity.uid = 1000;
  spec.identity.gid = 1000;
  EXPECT_EQ(Run(container, spec, options), "1000\nagain\n");
}

TEST_F(UserNamespaceTest, ATerminalIsTheContainersOwn) {
  StartPod();
  Container& container = MakeContainer();
  StartOptions options{.terminal = true};
  ContainerSpec spec =
      MakeInside(container, "tty; stat -c '%u %n' /dev/pts/0; test -t 0 && echo term", &options);
  spec.terminal = true;
  spec.identity.uid = 7;
  EXPECT_THAT(Run(container, spec, options),
              AllOf(HasSubstr("/dev/pts/0"), HasSubstr("7 /dev/pts/0"), HasSubstr("term")));
}

TEST_F(UserNamespaceTest, VolumesAreIdMapped) {
  StartPod();
  const std::string volume = data_ + "-volume";
  std::filesystem::create_directory(volume);
  ASSERT_EQ(chown(volume.c_str(), 5, 6), 0);
  const absl::StatusOr<std::vector<OpenedVolume>> opened =
      OpenVolumes(executable_.get(), {{.path = volume}}, kPatience);
  ASSERT_TRUE(opened.ok()) << opened.status();
  Container& container = MakeContainer();
  StartOptions options{.volumes = {(*opened)[0].tree.get()}};
  ContainerSpec spec =
      MakeInside(container, "stat -c '%u %g' /v; echo x > /v/f; stat -c '%u %g' /v/f", &options);
  spec.mounts.push_back({.kind = MountSpec::Kind::kBind,
                         .target = "/v",
                         .source = volume,
                         .fd_index = 0,
                         .idmapped = true});
  EXPECT_EQ(Run(container, spec, options), "5 6\n0 0\n");
  struct stat info;
  ASSERT_EQ(stat((volume + "/f").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 0u);
  std::filesystem::remove_all(volume);
}

TEST_F(UserNamespaceTest, AFileSystemWithoutIdMapsIsRefusedWithItsReason) {
  StartPod();
  const absl::StatusOr<std::vector<OpenedVolume>> opened =
      OpenVolumes(executable_.get(), {{.path = "/proc/sys"}}, kPatience);
  ASSERT_TRUE(opened.ok()) << opened.status();
  Container& container = MakeContainer();
  StartOptions options{.volumes = {(*opened)[0].tree.get()}};
  ContainerSpec spec = MakeInside(container, "true", &options);
  spec.mounts.push_back({.kind = MountSpec::Kind::kBind,
                         .target = "/v",
                         .source = "/proc/sys",
                         .fd_index = 0,
                         .idmapped = true});
  const absl::Status failed =
      StartPlan(container, PlanOf(container, spec, options), options).status();
  EXPECT_EQ(failed.code(), absl::StatusCode::kFailedPrecondition) << failed;
  EXPECT_THAT(std::string(failed.message()), HasSubstr("cannot be ID-mapped"));
}

TEST_F(UserNamespaceTest, ContainersShareAPodPidNamespaceThatItOwns) {
  StartPod({.pid = NamespaceMode::kPod});
  Container& first = MakeContainer();
  StartOptions options{.pid_mode = wire::PidMode::kPod};
  ContainerSpec spec = MakeInside(first, "exec sleep 577", &options);
  ASSERT_TRUE(StartPlan(first, PlanOf(first, spec, options), options).ok());
  const std::string text =
      RunInside("busybox ps -o args; cat /proc/1/comm; ls /proc/1/root/ 2>&1; stat -c '%u' /proc/1",
                {.pid_mode = wire::PidMode::kPod});
  EXPECT_THAT(text,
              AllOf(HasSubstr("sleep 577"), HasSubstr("berth-init"), Not(HasSubstr(" data"))));
}

TEST_F(UserNamespaceTest, IpcSysctlsOfThePodAreWritten) {
  StartPod({.sysctls = {{"kernel.shmmax", "123456"}, {"net.ipv4.ip_forward", "1"}}});
  EXPECT_EQ(RunInside("cat /proc/sys/kernel/shmmax /proc/sys/net/ipv4/ip_forward"), "123456\n1\n");
}

TEST_F(UserNamespaceTest, AnExecutableThatIsMissingIsNamedAndLeavesNothing) {
  StartPod();
  Container& container = MakeContainer();
  StartOptions options;
  ContainerSpec spec = MakeInside(container, "", &options);
  spec.args = {"nope"};
  const absl::Status failed =
      StartPlan(container, PlanOf(container, spec, options), options).status();
  EXPECT_EQ(failed.message(), "exec: \"nope\": executable file not found in $PATH");
  EXPECT_EQ(Replay().size(), 0u);
  EXPECT_EQ(Children().size(), 0u);
}

TEST_F(UserNamespaceTest, FiftyStartsLeakNothing) {
  StartPod();
  RunInside("true");
  const size_t before = OpenFds();
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(RunInside("echo fine"), "fine\n");
    EXPECT_TRUE(client_->Forget(containers_.back()->id).ok());
  }
  EXPECT_EQ(OpenFds(), before);
  EXPECT_EQ(Children().size(), 0u);
}

}  // namespace
}  // namespace berth
