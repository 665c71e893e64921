// What a process sees from inside its container, told by the probe.
#include <gmock/gmock.h>

#include <sys/stat.h>

#include <fstream>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "test/e2e/probed.h"
#include "test/e2e/text_file.h"

namespace berth::e2e {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class InsideTest : public ProbedTest {};

std::vector<std::string> Words(const Json& array) { return array.get<std::vector<std::string>>(); }

// ---- identity ----

TEST_F(InsideTest, DefaultUserIsRootWithItsGroupOnly) {
  const Json report = Report(MakeProbe("c", {"report"}));
  EXPECT_EQ(report["uid"], 0);
  EXPECT_EQ(report["gid"], 0);
  EXPECT_EQ(report["groups"], Json::array({0}));
}

TEST_F(InsideTest, NumericUserTakesItsGroupFromPasswd) {
  cri::ContainerConfig config = MakeProbe("c", {"report"});
  Security(config)->mutable_run_as_user()->set_value(1001);
  const Json report = Report(config);
  EXPECT_EQ(report["uid"], 1001);
  EXPECT_EQ(report["gid"], 1001);
  EXPECT_EQ(report["groups"], Json::array({1001, 2000, 2001}));
}

TEST_F(InsideTest, UserWithoutPasswdRowHasGroupZero) {
  cri::ContainerConfig config = MakeProbe("c", {"report"});
  Security(config)->mutable_run_as_user()->set_value(4321);
  const Json report = Report(config);
  EXPECT_EQ(report["uid"], 4321);
  EXPECT_EQ(report["gid"], 0);
}

TEST_F(InsideTest, UserNameIsLookedUpInTheImage) {
  cri::ContainerConfig config = MakeProbe("c", {"report"});
  Security(config)->set_run_as_username("app");
  const Json report = Report(config);
  EXPECT_EQ(report["uid"], 1000);
  EXPECT_EQ(report["gid"], 1000);
  EXPECT_EQ(report["groups"], Json::array({1000, 2001}));
}

TEST_F(InsideTest, MergeAddsImageGroupsAndStrictDoesNot) {
  for (const auto policy : {cri::Merge, cri::Strict}) {
    cri::ContainerConfig config = MakeProbe("c", {"report"});
    Security(config)->mutable_run_as_user()->set_value(1000);
    Security(config)->mutable_run_as_group()->set_value(50000);
    Security(config)->add_supplemental_groups(1234);
    Security(config)->set_supplemental_groups_policy(policy);
    const Json report = Report(config);
    EXPECT_EQ(report["gid"], 50000);
    EXPECT_EQ(report["groups"],
              policy == cri::Merge ? Json::array({1234, 2001, 50000}) : Json::array({1234, 50000}));
  }
}

TEST_F(InsideTest, StatusUserIsWhatTheProcessHas) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  cri::ContainerConfig config = MakeProbe("c", {"sleep"});
  Security(config)->mutable_run_as_user()->set_value(1001);
  Security(config)->add_supplemental_groups(7);
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
  EXPECT_EQ(status.user().linux().uid(), 1001);
  EXPECT_EQ(status.user().linux().gid(), 1001);
  const auto& groups = status.user().linux().supplemental_groups();
  EXPECT_THAT(std::vector<int64_t>(groups.begin(), groups.end()), ElementsAre(7, 1001, 2000, 2001));
  ASSERT_OK_AND_ASSIGN(const Json exec, pod.ExecForJson(id, {"report"}));
  EXPECT_EQ(exec["uid"], 1001);
  EXPECT_EQ(exec["groups"], Json::array({7, 1001, 2000, 2001}));
}

// ---- privileges ----

TEST_F(InsideTest, DefaultCapabilitiesAreTheFourteen) {
  const Json report = Report(MakeProbe("c", {"report"}));
  for (const char* set : {"CapBnd", "CapPrm", "CapEff"})
    EXPECT_EQ(report["status"][set], "00000000a80425fb") << set;
  for (const char* set : {"CapInh", "CapAmb"})
    EXPECT_EQ(report["status"][set], "0000000000000000") << set;
}

TEST_F(InsideTest, NonRootUserHasNoEffectiveCapabilities) {
  cri::ContainerConfig config = MakeProbe("c", {"report"});
  Security(config)->mutable_run_as_user()->set_value(1000);
  const Json report = Report(config);
  EXPECT_EQ(report["status"]["CapEff"], "0000000000000000");
  EXPECT_EQ(report["status"]["CapBnd"], "00000000a80425fb");
}

TEST_F(InsideTest, CapabilitiesAreAddedAndDropped) {
  struct {
    std::vector<std::string> add, drop;
    std::string bounding;
  } cases[] = {{{"NET_ADMIN"}, {}, "00000000a80435fb"},
               {{"cap_net_admin"}, {"NET_RAW", "MKNOD"}, "00000000a00415fb"},
               {{}, {"ALL"}, "0000000000000000"},
               {{"CHOWN"}, {"ALL"}, "0000000000000001"},
               {{"ALL"}, {}, OwnStatus("CapBnd")}};
  for (const auto& c : cases) {
    cri::ContainerConfig config = MakeProbe("c", {"report"});
    auto* capabilities = Security(config)->mutable_capabilities();
    for (const std::string& name : c.add) capabilities->add_add_capabilities(name);
    for (const std::string& name : c.drop) capabilities->add_drop_capabilities(name);
    const Json report = Report(config);
    EXPECT_EQ(report["status"]["CapBnd"], c.bounding);
    EXPECT_EQ(report["status"]["CapEff"], c.bounding);
  }
}

TEST_F(InsideTest, NoNewPrivilegesStopsSetuidPrograms) {
  for (const bool no_new_privs : {true, false}) {
    cri::ContainerConfig config = MakeProbe("c", {"report"});
    config.set_command(0, "/probe-setuid");
    Security(config)->mutable_run_as_user()->set_value(1000);
    Security(config)->set_no_new_privs(no_new_privs);
    const Json report = Report(config);
    EXPECT_EQ(report["uid"], 1000);
    EXPECT_EQ(report["euid"], no_new_privs ? 1000 : 0);
    EXPECT_EQ(report["status"]["NoNewPrivs"], no_new_privs ? "1" : "0");
  }
}

TEST_F(InsideTest, DefaultSeccompProfileRefusesWhatItShould) {
  cri::ContainerConfig config = MakeProbe("c", {"report"});
  Security(config)->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
  const Json report = Report(config);
  EXPECT_EQ(report["status"]["Seccomp"], "2");
  for (const char* call :
       {"io_uring_setup", "bpf", "userfaultfd", "keyctl", "add_key", "mount", "umount",
        "unshare_user", "unshare_mount", "perf_event_open", "open_by_handle_at", "sethostname"}) {
    EXPECT_THAT(report["syscalls"][call].get<std::string>(), AnyOf("EPERM", "ENOSYS")) << call;
  }
  EXPECT_THAT(report["syscalls"]["af_alg"].get<std::string>(),
              AnyOf("EPERM", "EACCES", "EAFNOSUPPORT"));
  for (const char* call : {"chroot", "mknod", "raw_socket"})
    EXPECT_EQ(report["syscalls"][call], "ok") << call;
}

TEST_F(InsideTest, SeccompFollowsTheProfileThatIsAskedFor) {
  cri::ContainerConfig none = MakeProbe("c", {"report"});
  EXPECT_EQ(Report(none)["status"]["Seccomp"], "0");
  cri::ContainerConfig unconfined = MakeProbe("c", {"report"});
  Security(unconfined)->mutable_seccomp()->set_profile_type(cri::SecurityProfile::Unconfined);
  EXPECT_EQ(Report(unconfined)["status"]["Seccomp"], "0");
  cri::ContainerConfig present_but_empty = MakeProbe("c", {"report"});
  Security(present_but_empty)->mutable_seccomp();
  EXPECT_EQ(Report(present_but_empty)["status"]["Seccomp"], "2");
}

TEST_F(InsideTest, ExecHasTheSamePrivilegesAsTheContainer) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  cri::ContainerConfig config = MakeProbe("c", {"sleep"});
  Security(config)->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
  Security(config)->set_no_new_privs(true);
  Security(config)->mutable_capabilities()->add_drop_capabilities("NET_RAW");
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  ASSERT_OK_AND_ASSIGN(const Json exec, pod.ExecForJson(id, {"report"}));
  EXPECT_EQ(exec["status"]["Seccomp"], "2");
  EXPECT_EQ(exec["status"]["NoNewPrivs"], "1");
  EXPECT_EQ(exec["status"]["CapBnd"], "00000000a80405fb");
  EXPECT_EQ(exec["syscalls"]["raw_socket"], "EPERM");
}

// ---- process ----

TEST_F(InsideTest, OnlyTheThreeStandardFdsAreOpen) {
  const Json report = Report(MakeProbe("c", {"report"}));
  std::set<std::string> fds;
  for (const auto& [fd, target] : report["fds"].items()) fds.insert(fd);
  EXPECT_THAT(fds, ElementsAre("0", "1", "2"));
  EXPECT_EQ(report["stdio"][0]["type"], "char");
  EXPECT_EQ(report["fds"]["0"], "/dev/null");
  for (const int fd : {0, 1, 2}) EXPECT_EQ(report["stdio"][fd]["tty"], false);
}

TEST_F(InsideTest, ExecHasOnlyTheThreeStandardFds) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const Json exec, pod.ExecForJson(id, {"report"}));
  std::set<std::string> fds;
  for (const auto& [fd, target] : exec["fds"].items()) fds.insert(fd);
  EXPECT_THAT(fds, ElementsAre("0", "1", "2"));
}

TEST_F(InsideTest, EnvironmentIsImageThenRequestAndLaterWins) {
  cri::ContainerConfig config = MakeProbe("c", {"report"});
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, std::string>>{{"ADDED", "one"},
                                                        {"IMAGE_VARIABLE", "from request"},
                                                        {"ADDED", "two"},
                                                        {"EMPTY", ""},
                                                        {"BYTES", "\xff=x"}}) {
    auto* env = config.add_envs();
    env->set_key(key);
    env->set_value(value);
  }
  const std::string pod_name = Name();
  const auto env = Environment(Report(config));
  EXPECT_EQ(env.at("PATH"), "/usr/bin:/bin:/");
  EXPECT_EQ(env.at("IMAGE_VARIABLE"), "from request");
  EXPECT_EQ(env.at("ADDED"), "two");
  EXPECT_EQ(env.at("EMPTY"), "");
  EXPECT_EQ(env.at("BYTES"), "\xc3\xbf=x");  // the probe writes byte 0xff as \u00ff
  EXPECT_EQ(env.at("HOSTNAME"), pod_name);
  EXPECT_EQ(env.count("TERM"), 0u);
}

TEST_F(InsideTest, CommandAndArgumentsFollowTheImageRules) {
  struct {
    std::vector<std::string> command, arguments, expected;
  } cases[] = {{{}, {}, {"/probe", "report"}},
               {{}, {"report", "x"}, {"/probe", "report", "x"}},
               {{"/probe"}, {}, {"/probe"}},
               {{"/probe", "report"}, {"a", "b c"}, {"/probe", "report", "a", "b c"}}};
  for (const auto& c : cases) {
    cri::ContainerConfig config = MakeProbe("c", {});
    config.mutable_command()->Assign(c.command.begin(), c.command.end());
    config.mutable_args()->Assign(c.arguments.begin(), c.arguments.end());
    EXPECT_EQ(Words(Report(config)["argv"]), c.expected);
  }
}

TEST_F(InsideTest, WorkingDirectoryIsRootOrAsAskedAndMade) {
  EXPECT_EQ(Report(MakeProbe("c", {"report"}))["cwd"], "/");
  cri::ContainerConfig config = MakeProbe("c", {"report"});
  config.set_working_dir("/home/made/here");
  EXPECT_EQ(Report(config)["cwd"], "/home/made/here");
}

TEST_F(InsideTest, TerminalContainerHasATerminal) {
  cri::ContainerConfig config = MakeProbe("c", {"report"});
  config.set_tty(true);
  const Json report = Report(config);
  for (const int fd : {0, 1, 2}) EXPECT_EQ(report["stdio"][fd]["tty"], true) << fd;
  EXPECT_EQ(Environment(report)["TERM"], "xterm");
  EXPECT_EQ(report["dev"]["/dev/console"]["type"], "char");
}

TEST_F(InsideTest, OomScoreIsTheOneAskedFor) {
  EXPECT_EQ(Report(MakeKubeletProbe("c", {"report"}))["oom_score_adj"], "998\n");
}

TEST_F(InsideTest, OomScoreBelowWhatTheDaemonMaySetIsClamped) {
  cri::ContainerConfig config = MakeKubeletProbe("c", {"report"});
  config.mutable_linux()->mutable_resources()->set_oom_score_adj(-997);
  EXPECT_TRUE(Report(config).contains("oom_score_adj"));
}

// ---- namespaces ----

TEST_F(InsideTest, NamespacesAreThePodsOwn) {
  const Json report = Report(MakeProbe("c", {"report"}));
  for (const char* kind : {"mnt", "net", "ipc", "uts", "pid"}) {
    EXPECT_NE(report["namespaces"][kind], OwnNamespace(kind)) << kind;
  }
  EXPECT_EQ(report["namespaces"]["user"], OwnNamespace("user"));
}

TEST_F(InsideTest, ContainersOfAPodShareAllButMountsAndFiles) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const Json a, pod.RunForJson(MakeKubeletProbe("a", {"report"})));
  ASSERT_OK_AND_ASSIGN(const Json b, pod.RunForJson(MakeKubeletProbe("b", {"report"})));
  for (const char* kind : {"net", "ipc", "uts"})
    EXPECT_EQ(a["namespaces"][kind], b["namespaces"][kind]) << kind;
  EXPECT_EQ(a["pid"], 1);
  EXPECT_EQ(b["pid"], 1);
}

TEST_F(InsideTest, HostNamespacesAreTheNodes) {
  cri::PodSandboxConfig pod = MakePodConfig(Name());
  cri::ContainerConfig config = MakeProbe("c", {"report"});
  for (cri::NamespaceOption* options : {NamespaceOptions(pod), NamespaceOptions(config)}) {
    options->set_network(cri::NODE);
    options->set_pid(cri::NODE);
    options->set_ipc(cri::NODE);
  }
  const Json report = Report(pod, config);
  for (const char* kind : {"net", "ipc", "uts", "pid"}) {
    EXPECT_EQ(report["namespaces"][kind], OwnNamespace(kind)) << kind;
  }
  EXPECT_EQ(report["hostname"], "e2e-node");
  EXPECT_NE(report["namespaces"]["mnt"], OwnNamespace("mnt"));
}

// Otherwise a container would land in a namespace that its pod was not given.
TEST_F(InsideTest, PidModeMustSuitThePod) {
  cri::PodSandboxConfig own = MakePodConfig(Name());
  NamespaceOptions(own)->set_pid(cri::CONTAINER);
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), own));
  for (const cri::NamespaceMode mode : {cri::NODE, cri::POD}) {
    cri::ContainerConfig config = MakeProbe("c", {"report"});
    NamespaceOptions(config)->set_pid(mode);
    const auto id = pod.Create(config);
    EXPECT_CODE(id, kInvalidArgument);
    EXPECT_THAT(std::string(id.status().message()), HasSubstr("namespace_options.pid"));
  }
}

TEST_F(InsideTest, SysctlsAreThePodsOwn) {
  cri::PodSandboxConfig config = MakePodConfig(Name());
  auto& sysctls = *config.mutable_linux()->mutable_sysctls();
  sysctls["kernel.shm_rmid_forced"] = "1";
  sysctls["net.ipv4.ip_unprivileged_port_start"] = "77";
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), config));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  const auto read = [&](const std::string& path) {
    const auto exec = client().Exec(id, {"/probe", "read", path});
    return exec.ok() ? exec->stdout() : std::string(exec.status().message());
  };
  EXPECT_EQ(read("/proc/sys/kernel/shm_rmid_forced"), "1\n");
  EXPECT_EQ(read("/proc/sys/net/ipv4/ip_unprivileged_port_start"), "77\n");
  EXPECT_EQ(read("/proc/sys/net/ipv6/conf/default/accept_ra"), "0\n");
}

TEST_F(InsideTest, SysctlsOfTheNodeAreRefused) {
  for (const char* name :
       {"kernel.core_pattern", "vm.swappiness", "kernel/shm_rmid_forced", "net/../../kernel.x"}) {
    cri::PodSandboxConfig config = MakePodConfig(Name());
    (*config.mutable_linux()->mutable_sysctls())[name] = "1";
    EXPECT_CODE(client().RunPod(config), kInvalidArgument) << name;
  }
  cri::PodSandboxConfig host = MakePodConfig(Name());
  NamespaceOptions(host)->set_network(cri::NODE);
  (*host.mutable_linux()->mutable_sysctls())["net.core.somaxconn"] = "1";
  EXPECT_CODE(client().RunPod(host), kInvalidArgument);
}

TEST_F(InsideTest, SharedPidNamespaceHasAnInitThatIsNoContainer) {
  cri::PodSandboxConfig config = MakePodConfig(Name());
  NamespaceOptions(config)->set_pid(cri::POD);
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), config));
  ASSERT_OK(pod.RunContainer(MakeProbe("a", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const Json report, pod.RunForJson(MakeProbe("b", {"report"})));
  EXPECT_NE(report["pid"], 1);
  EXPECT_THAT(report["init_cmdline"].get<std::string>(), Not(HasSubstr("/probe")));
  bool sees_other = false;
  for (const auto& [pid, command] : report["processes"].items()) {
    sees_other |= command.is_string() && absl::StrContains(command.get<std::string>(), "sleep");
  }
  EXPECT_TRUE(sees_other) << "containers of the pod see each other";
}

TEST_F(InsideTest, OwnPidNamespaceShowsOnlyItself) {
  const Json report = Report(MakeKubeletProbe("c", {"report"}));
  EXPECT_EQ(report["pid"], 1);
  EXPECT_EQ(report["processes"].size(), 1u);
}

// ---- files and mounts ----

TEST_F(InsideTest, HostnameAndFilesOfThePod) {
  const Json report = Report(MakeKubeletProbe("c", {"report"}));
  EXPECT_EQ(report["hostname"], Name());
  EXPECT_EQ(report["files"]["/etc/hostname"], Name() + "\n");
  EXPECT_EQ(
      report["files"]["/etc/resolv.conf"],
      "search e2e.svc.cluster.local svc.cluster.local\nnameserver 10.10.10.10\noptions ndots:5\n");
  EXPECT_THAT(report["files"]["/etc/hosts"].get<std::string>(), HasSubstr("localhost"));
}

TEST_F(InsideTest, WithoutDnsConfigTheNodesResolvConfIsCopied) {
  EXPECT_EQ(Report(MakePodConfig(Name()), MakeProbe("c", {"report"}))["files"]["/etc/resolv.conf"],
            ContentOf("/etc/resolv.conf"));
}

TEST_F(InsideTest, DevicesAreTheStandardOnes) {
  const Json dev = Report(MakeProbe("c", {"report"}))["dev"];
  const std::map<std::string, std::string> nodes = {{"/dev/null", "1:3"},    {"/dev/zero", "1:5"},
                                                    {"/dev/full", "1:7"},    {"/dev/random", "1:8"},
                                                    {"/dev/urandom", "1:9"}, {"/dev/tty", "5:0"}};
  for (const auto& [path, number] : nodes) {
    ASSERT_TRUE(dev.contains(path)) << path;
    EXPECT_EQ(dev[path]["type"], "char") << path;
    EXPECT_EQ(dev[path]["rdev"], number) << path;
    EXPECT_EQ(dev[path]["mode"], 0666) << path;
  }
  const std::map<std::string, std::string> links = {{"/dev/fd", "/proc/self/fd"},
                                                    {"/dev/stdin", "/proc/self/fd/0"},
                                                    {"/dev/stdout", "/proc/self/fd/1"},
                                                    {"/dev/stderr", "/proc/self/fd/2"},
                                                    {"/dev/ptmx", "pts/ptmx"}};
  for (const auto& [path, target] : links) EXPECT_EQ(dev[path].value("target", ""), target) << path;
  const std::set<std::string> known = {
      "/dev/null", "/dev/zero",   "/dev/full",   "/dev/random",  "/dev/urandom", "/dev/tty",
      "/dev/fd",   "/dev/stdin",  "/dev/stdout", "/dev/stderr",  "/dev/ptmx",    "/dev/pts",
      "/dev/shm",  "/dev/mqueue", "/dev/core",   "/dev/console", "/dev/pts/ptmx"};
  for (const auto& [path, info] : dev.items())
    EXPECT_TRUE(known.contains(path)) << path << " is not expected";
}

TEST_F(InsideTest, MountsHaveTheirProtectiveFlags) {
  const Json fs = Report(MakeProbe("c", {"report"}))["filesystems"];
  EXPECT_EQ(fs["/"]["readonly"], false);
  EXPECT_EQ(fs["/"]["nosuid"], false);
  EXPECT_EQ(fs["/proc"]["nosuid"], true);
  EXPECT_EQ(fs["/proc"]["nodev"], true);
  EXPECT_EQ(fs["/proc"]["noexec"], true);
  EXPECT_EQ(fs["/sys"]["readonly"], true);
  EXPECT_EQ(fs["/dev"]["nosuid"], true);
  EXPECT_EQ(fs["/dev/shm"]["bytes"], 64 << 20);
  EXPECT_EQ(fs["/dev/shm"]["mode"], 01777);
  EXPECT_EQ(fs["/dev/shm"]["nodev"], true);
  EXPECT_EQ(fs["/dev/shm"]["noexec"], true);
  EXPECT_TRUE(fs.contains("/dev/mqueue"));
}

TEST_F(InsideTest, I_30_RootIsAnOverlayAndTheHostsTableDoesNotKnowIt) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  const std::string host = ContentOf("/proc/self/mountinfo");
  EXPECT_THAT(host, Not(HasSubstr(id)));
  EXPECT_THAT(host, Not(HasSubstr(node().daemon().options().dir)));
  ASSERT_OK_AND_ASSIGN(const Json report, pod.ExecForJson(id, {"report"}));
  const std::string inside = report["mountinfo"];
  EXPECT_THAT(inside, HasSubstr(" / / "));
  EXPECT_THAT(inside, HasSubstr("overlay"));
  for (const absl::string_view line : absl::StrSplit(inside, '\n', absl::SkipEmpty())) {
    EXPECT_FALSE(absl::StrContains(line, " shared:")) << "propagates to the host: " << line;
  }
}

TEST_F(InsideTest, WritesStayInTheContainer) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("a", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const auto wrote,
                       client().Exec(id, {"/probe", "write", "/data/file", "100"}));
  EXPECT_EQ(wrote.exit_code(), 0) << wrote.stderr();
  ASSERT_OK_AND_ASSIGN(const Json own, pod.ExecForJson(id, {"paths", "/data/file"}));
  EXPECT_EQ(own["/data/file"]["type"], "file");
  ASSERT_OK_AND_ASSIGN(const Json other, pod.RunForJson(MakeProbe("b", {"paths", "/data/file"})));
  EXPECT_EQ(other["/data/file"]["type"], "ENOENT");
}

TEST_F(InsideTest, SharedMemoryIsThePodsAndItsIpcToo) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("a", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const auto wrote, client().Exec(id, {"/probe", "write", "/dev/shm/file"}));
  EXPECT_EQ(wrote.exit_code(), 0) << wrote.stderr();
  ASSERT_OK_AND_ASSIGN(const Json other,
                       pod.RunForJson(MakeProbe("b", {"paths", "/dev/shm/file"})));
  EXPECT_EQ(other["/dev/shm/file"]["type"], "file");
}

TEST_F(InsideTest, ReadonlyRootLeavesDevAndShmWritable) {
  cri::ContainerConfig config =
      MakeProbe("c", {"paths", "/", "/etc/passwd", "/tmp", "/dev/shm", "/dev/null"});
  Security(config)->set_readonly_rootfs(true);
  const Json paths = Report(config);
  EXPECT_EQ(paths["/"]["write"], "EROFS");
  EXPECT_EQ(paths["/etc/passwd"]["write"], "EROFS");
  EXPECT_EQ(paths["/tmp"]["write"], "EROFS");
  EXPECT_EQ(paths["/dev/shm"]["write"], "ok");
  EXPECT_EQ(paths["/dev/null"]["write"], "ok");
}

TEST_F(InsideTest, MaskedPathsShowNothing) {
  cri::ContainerConfig config =
      MakeProbe("c", {"paths", "/secret", "/etc/group", "/proc/keys", "/etc/passwd"});
  for (const char* path : {"/secret", "/etc/group", "/proc/keys", "/no/such/path"}) {
    Security(config)->add_masked_paths(path);
  }
  const Json paths = Report(config);
  EXPECT_EQ(paths["/secret"]["type"], "dir");
  EXPECT_EQ(paths["/secret"]["read"], "empty");
  EXPECT_EQ(paths["/secret"]["readonly"], true);
  EXPECT_EQ(paths["/etc/group"]["read"], "empty");
  EXPECT_TRUE(paths["/proc/keys"]["type"] == "ENOENT" || paths["/proc/keys"]["read"] == "empty");
  EXPECT_EQ(paths["/etc/passwd"]["read"], "content");
}

TEST_F(InsideTest, I_39_MaskedDirectoriesAreOneFileSystem) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  cri::ContainerConfig config = MakeProbe("c", {"read", "/proc/self/mountinfo"});
  for (const char* path : {"/proc/fs", "/proc/irq", "/sys/firmware"})
    Security(config)->add_masked_paths(path);
  ASSERT_OK_AND_ASSIGN(const FinishedContainer read, pod.RunToEnd(config));
  const std::string table = Joined(read.log, "stdout");
  std::set<std::string> devices;
  int masks = 0;
  for (const absl::string_view line : absl::StrSplit(table, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> fields = absl::StrSplit(line, ' ');
    if (fields[4] != "/proc/fs" && fields[4] != "/proc/irq" && fields[4] != "/sys/firmware")
      continue;
    ++masks;
    devices.insert(fields[2]);
  }
  EXPECT_EQ(masks, 3) << table;
  EXPECT_EQ(devices.size(), 1u) << table;
}

TEST_F(InsideTest, ReadonlyPathsRefuseWrites) {
  cri::ContainerConfig config = MakeProbe(
      "c", {"paths", "/data", "/proc/sys", "/proc/sys/kernel/domainname", "/proc/irq", "/tmp"});
  for (const char* path : {"/data", "/proc/sys", "/proc/irq", "/no/such/path"}) {
    Security(config)->add_readonly_paths(path);
  }
  const Json paths = Report(config);
  EXPECT_EQ(paths["/data"]["write"], "EROFS");
  EXPECT_EQ(paths["/proc/sys"]["readonly"], true);
  EXPECT_EQ(paths["/proc/sys/kernel/domainname"]["write"], "EROFS");
  EXPECT_TRUE(paths["/proc/irq"]["type"] == "ENOENT" || paths["/proc/irq"]["readonly"] == true);
  EXPECT_EQ(paths["/tmp"]["write"], "ok");
}

TEST_F(InsideTest, WithoutListsNothingIsMaskedOrReadonly) {
  const Json paths = Report(MakeProbe("c", {"paths", "/proc/sys", "/secret"}));
  EXPECT_EQ(paths["/proc/sys"]["readonly"], false);
  EXPECT_EQ(paths["/secret"]["read"], "entries");
}

TEST_F(InsideTest, VolumesAreMountedAsAsked) {
  const std::string volume = NodeDir() + "/volume-" + Name(), file = volume + "/file";
  ASSERT_EQ(mkdir(volume.c_str(), 0755), 0);
  std::ofstream(file) << "content";
  cri::ContainerConfig config =
      MakeProbe("c", {"paths", "/vol", "/vol/file", "/ro", "/single", "/new/place"});
  const auto add = [&](const char* inside, const std::string& outside, bool readonly) {
    auto* mount = config.add_mounts();
    mount->set_container_path(inside);
    mount->set_host_path(outside);
    mount->set_readonly(readonly);
  };
  add("/vol", volume, false);
  add("/ro", volume, true);
  add("/single", file, false);
  add("/new/place", volume, false);
  const Json paths = Report(config);
  EXPECT_EQ(paths["/vol"]["write"], "ok");
  EXPECT_EQ(paths["/vol/file"]["read"], "content");
  EXPECT_EQ(paths["/ro"]["write"], "EROFS");
  EXPECT_EQ(paths["/single"]["type"], "file");
  EXPECT_EQ(paths["/new/place"]["read"], "entries");
}

}  // namespace
}  // namespace berth::e2e
