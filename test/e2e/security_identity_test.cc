// Known attacks on identity and confinement, by their row numbers: S-13 to S-23.
#include <gmock/gmock.h>

#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "test/e2e/hostile.h"
#include "test/e2e/own_node.h"
#include "test/e2e/text_file.h"

namespace berth::e2e {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

using SecurityTest = HostileTest;

std::string FileOfNode(const std::string& path) {
  std::ifstream file(path);
  std::string text;
  std::getline(file, text);
  return text;
}

TEST_F(SecurityTest, S_13_UsersThatAreNoNumberAreNeverRoot) {
  for (const char* user : {"1x", "0x10", " 1", "1 ", "+1", "-1", "1:1x", "01x:0", ":5x"}) {
    const auto image = TryImage({File("marker", user)}, {{"User", user}});
    if (!image.ok()) continue;
    ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
    const auto report = pod.RunForJson(From(*image, {"report"}));
    EXPECT_FALSE(report.ok()) << "\"" << user << "\" ran as " << (*report)["uid"];
  }
}

TEST_F(SecurityTest, S_14_NothingOfTheImageIsLoadedForALookup) {
  const std::string image =
      MakeImage({File("etc/nsswitch.conf", "passwd: evil\ngroup: evil\n"), Dir("lib"),
                 File("lib/libnss_evil.so.2", "not a library", 0755),
                 File("etc/ld.so.preload", "/lib/libnss_evil.so.2\n")});
  cri::ContainerConfig config = From(image, {"report"});
  Security(config)->set_run_as_username("app");
  EXPECT_EQ(Report(config)["uid"], 1000);
}

TEST_F(SecurityTest, S_15_HooksGetNothingOfTheImagesEnvironment) {
  HostDir hooks(Name("-hooks"));
  hooks.Write("hook.sh",
              absl::StrCat("#!/bin/sh\ncat /proc/$$/environ >", hooks / "environ", "\npwd >",
                           hooks / "cwd", "\n"),
              0755);
  hooks.Write("10-hook.json", Json({{"version", "1.0.0"},
                                    {"hook", {{"path", hooks / "hook.sh"}}},
                                    {"when", {{"always", true}}},
                                    {"stages", {"createRuntime"}}})
                                  .dump());
  ASSERT_OK_AND_ASSIGN(OwnNode own, OwnNode::Start("hooked", absl::StrCat("[hooks]\ndirs = \"",
                                                                          hooks.path(), "\"\n")));
  const ImageRecipe recipe = [] {
    ImageRecipe probe = ProbeRecipe();
    probe.config["Env"] = {"LD_PRELOAD=/evil.so", "PATH=/evil"};
    return probe;
  }();
  const std::string image = node().registry().Add("preload", "v1", Build(recipe));
  ASSERT_OK(own.client().Pull(image));
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(own.client(), MakePodConfig(Name())));
  cri::ContainerConfig config = MakeProbe("c", {"exit", "0"});
  config.mutable_image()->set_image(image);
  ASSERT_OK(pod.RunToEnd(config));
  const std::vector<std::string> environment =
      absl::StrSplit(hooks.Read("environ"), '\0', absl::SkipEmpty());
  EXPECT_THAT(environment,
              ElementsAre("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
  EXPECT_EQ(hooks.Read("cwd"), "/\n");
}

TEST_F(SecurityTest, S_15_VariableWithoutValueDoesNotImportTheDaemons) {
  const std::string image = MakeImage({}, {{"Env", {"PATH=/", "HOME", "BERTH_E2E_BASE"}}});
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  const auto report = pod.RunForJson(From(image, {"report"}));
  if (!report.ok()) return;  // refused
  for (const auto& [key, value] : Environment(*report)) {
    if (key == "HOME" || key == "BERTH_E2E_BASE") {
      EXPECT_EQ(value, "") << key;
    }
  }
}

TEST_F(SecurityTest, S_16_HostNetworkShowsNoAbstractSocket) {
  cri::PodSandboxConfig pod_config = MakeKubeletPodConfig(Name());
  pod_config.clear_port_mappings();
  pod_config.clear_hostname();
  NamespaceOptions(pod_config)->set_network(cri::NODE);
  cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  NamespaceOptions(config)->set_network(cri::NODE);
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), pod_config));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  const std::string sockets = ReadInside(id, "/proc/net/unix");
  EXPECT_THAT(sockets, HasSubstr("berth.sock")) << "it is the node's network namespace";
  EXPECT_THAT(sockets, Not(HasSubstr(" @")));
}

TEST_F(SecurityTest, S_17_HostPidShowsNothingOfTheRuntimesProcesses) {
  cri::PodSandboxConfig pod_config = MakeKubeletPodConfig(Name());
  NamespaceOptions(pod_config)->set_pid(cri::NODE);
  cri::ContainerConfig config = MakeKubeletProbe("c", {"spy"});
  NamespaceOptions(config)->set_pid(cri::NODE);
  const Json processes = Report(pod_config, config);
  int seen = 0;
  for (const auto& [pid, info] : processes.items()) {
    if (!absl::StartsWith(info.value("comm", ""), "berth")) continue;
    ++seen;
    for (const char* what : {"environ", "mem", "fd", "exe", "root"})
      EXPECT_THAT(info.value(what, ""), AnyOf("EACCES", "EPERM")) << info["comm"] << " " << what;
  }
  EXPECT_GE(seen, 2) << "the daemon and a monitor are in sight";
}

TEST_F(SecurityTest, S_18_DefaultProfileDeniesTheDoorsOfKnownExploits) {
  const Json calls = Report(MakeKubeletProbe("c", {"report"}))["syscalls"];
  for (const char* call :
       {"io_uring_setup", "io_uring_enter", "bpf", "userfaultfd", "keyctl", "add_key",
        "request_key", "perf_event_open", "unshare_user", "clone_user"})
    EXPECT_THAT(calls.value(call, ""), AnyOf("EPERM", "ENOSYS")) << call;
  for (const char* call : {"af_alg", "af_vsock", "af_vsock_pair"})
    EXPECT_NE(calls.value(call, "ok"), "ok") << call;
  if (calls.value("i386_getpid", "ok") == "ENOSYS") return;  // no i386 numbers on this kernel
  for (const char* call : {"i386_af_alg", "i386_af_vsock", "i386_socketcall"})
    EXPECT_NE(calls.value(call, "ok"), "ok") << call;
}

TEST_F(SecurityTest, S_19_ConfinementThatCannotBeGivenIsNeverLeftOut) {
  cri::ContainerConfig absent = MakeKubeletProbe("c", {"exit", "0"});
  Security(absent)->mutable_seccomp()->set_profile_type(cri::SecurityProfile::Localhost);
  Security(absent)->mutable_seccomp()->set_localhost_ref(NodeDir() + "/no-such-profile.json");
  EXPECT_FALSE(Refusal(absent).ok());
  const std::string modules = ContentOf("/sys/kernel/security/lsm");
  cri::ContainerConfig apparmor = MakeKubeletProbe("c", {"exit", "0"}), selinux = apparmor;
  Security(apparmor)->mutable_apparmor()->set_profile_type(cri::SecurityProfile::Localhost);
  Security(apparmor)->mutable_apparmor()->set_localhost_ref("no-such-profile");
  EXPECT_FALSE(Refusal(apparmor).ok());
  if (!absl::StrContains(modules, "apparmor")) {
    Security(apparmor)->mutable_apparmor()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
    Security(apparmor)->mutable_apparmor()->clear_localhost_ref();
    EXPECT_FALSE(Refusal(apparmor).ok()) << "the kernel has no AppArmor";
  }
  if (!absl::StrContains(modules, "selinux")) {
    Security(selinux)->mutable_selinux_options()->set_type("container_t");
    Security(selinux)->mutable_selinux_options()->set_level("s0:c1,c2");
    EXPECT_FALSE(Refusal(selinux).ok()) << "the kernel has no SELinux";
  }
}

TEST_F(SecurityTest, S_19_FilterIsThereOnceTheProcessRuns) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeKubeletProbe("c", {"sleep"})));
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  request.set_verbose(true);
  ASSERT_OK_AND_ASSIGN(const auto status, client().Call(&Runtime::ContainerStatus, request));
  const Json info = Json::parse(status.info().at("info"), nullptr, false);
  EXPECT_THAT(ContentOf(absl::StrCat("/proc/", info.value("pid", 0), "/status")),
              HasSubstr("Seccomp:\t2"));
}

TEST_F(SecurityTest, S_20_SetuidProgramsGainNothingWhenAsked) {
  HostDir volume(Name("-volume"));
  volume.Write("setuid", ContentOf(BERTH_E2E_PROBE), 04755);
  for (const bool by_mount : {false, true}) {
    cri::ContainerConfig config = MakeProbe("c", {"report"});
    config.set_command(0, "/vol/setuid");
    cri::Mount* mount = AddMount(config, "/vol", volume.path());
    if (by_mount) mount->add_mount_options("nosuid");
    Security(config)->set_no_new_privs(!by_mount);
    Security(config)->mutable_run_as_user()->set_value(1000);
    EXPECT_EQ(Report(config)["euid"], 1000) << by_mount;
  }
}

TEST_F(SecurityTest, S_21_LeakyFilesAreMasked) {
  cri::ContainerConfig config = MakeKubeletProbe("c", {"paths"});
  const auto& masked = Security(config)->masked_paths();
  for (const std::string& path : masked) config.add_command(path);
  const Json paths = Report(config);
  EXPECT_EQ(paths.size(), static_cast<size_t>(masked.size()));
  for (const auto& [path, info] : paths.items()) {
    EXPECT_TRUE(info.value("type", "") == "ENOENT" || info.value("read", "") == "empty")
        << path << " " << info;
  }
}

TEST_F(SecurityTest, S_22_RouterAdvertisementsAreIgnored) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  Security(config)->mutable_capabilities()->add_drop_capabilities("NET_RAW");
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  EXPECT_EQ(ReadInside(id, "/proc/sys/net/ipv6/conf/default/accept_ra"), "0\n");
  ASSERT_OK_AND_ASSIGN(const Json report, pod.ExecForJson(id, {"report"}));
  EXPECT_EQ(report["syscalls"]["raw_socket"], "EPERM");
}

TEST_F(SecurityTest, S_23_IdsThatDoNotFitAreRefused) {
  for (const int64_t id : {int64_t{-1}, int64_t{4294967295}, int64_t{4294967296}, int64_t{1} << 62,
                           int64_t{-4294967296}}) {
    cri::ContainerConfig user = MakeKubeletProbe("c", {"report"}), group = user, more = user;
    Security(user)->mutable_run_as_user()->set_value(id);
    Security(group)->mutable_run_as_user()->set_value(1000);
    Security(group)->mutable_run_as_group()->set_value(id);
    Security(more)->add_supplemental_groups(id);
    for (const auto& config : {user, group, more})
      EXPECT_CODE(Refusal(config), kInvalidArgument) << id;
  }
}

TEST_F(SecurityTest, S_31_NumbersOfAnImageAreNeverNamesNorWrapped) {
  const std::string passwd =
      "root:x:0:0::/:/bin/sh\n4294967296:x:0:0::/:/bin/sh\nwraps:x:4294967296:0::/:/bin/sh\n"
      "minus:x:-1:0::/:/bin/sh\n99999999999999999999:x:0:0::/:/bin/sh\n";
  for (const char* user : {"4294967296", "4294967295", "99999999999999999999", "wraps", "minus"}) {
    const std::string image = MakeImage({File("etc/passwd", passwd)}, {{"User", user}});
    ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
    EXPECT_FALSE(pod.RunForJson(From(image, {"report"})).ok()) << user;
  }
}

TEST_F(SecurityTest, S_31_StatusTellsTheUserThatRuns) {
  const std::string image = MakeImage({}, {{"User", "worker:staff"}});
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(From(image, {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
  EXPECT_EQ(status.user().linux().uid(), 1001);
  EXPECT_EQ(status.user().linux().gid(), 2000);
  ASSERT_OK_AND_ASSIGN(const Json exec, pod.ExecForJson(id, {"report"}));
  EXPECT_EQ(exec["uid"], 1001);
  EXPECT_EQ(exec["gid"], 2000);
}

TEST_F(SecurityTest, S_32_VariablesOfOneContainerAreNotAnothers) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  for (const char* name : {"a", "b"}) {
    cri::ContainerConfig config = MakeKubeletProbe(name, {"report"});
    auto* env = config.add_envs();
    env->set_key(absl::StrCat("SECRET_OF_", name));
    env->set_value("x");
    ASSERT_OK_AND_ASSIGN(const Json report, pod.RunForJson(config));
    const auto seen = Environment(report);
    EXPECT_EQ(seen.count(absl::StrCat("SECRET_OF_", name)), 1u);
    EXPECT_EQ(seen.count("SECRET_OF_a") + seen.count("SECRET_OF_b"), 1u);
  }
}

TEST_F(SecurityTest, S_37_HostilePasswdFilesAreRefusedWithoutHarm) {
  const std::string long_line = "x:" + std::string(3 << 20, 'y') + "\n";
  TarEntry fifo{.path = "etc/passwd", .type = '6', .mode = 0644};
  const std::vector<TarEntry> files = {
      File("etc/passwd", long_line), fifo, Symlink("etc/passwd", "/proc/self/environ"),
      Symlink("etc/passwd", "/dev/zero"),
      File("etc/passwd", "app:x:1000:1000::/home\nroot2:x:0:0::/:/bin/sh\n:x:0:0:::\n")};
  for (const TarEntry& file : files) {
    const auto image = TryImage({File("etc/.wh.passwd", ""), file});
    if (!image.ok()) continue;
    cri::ContainerConfig config = From(*image, {"report"});
    Security(config)->set_run_as_username("nobody-has-this-name");
    EXPECT_FALSE(Refusal(config).ok());
  }
  EXPECT_OK(client().ListPods()) << "the daemon lives";
}

TEST_F(SecurityTest, S_38_SysctlsReachOnlyThePodsNamespaces) {
  const std::string pattern = FileOfNode("/proc/sys/kernel/core_pattern");
  struct {
    const char *name, *value;
  } cases[] = {{"kernel.shm_rmid_forced", "1+kernel.core_pattern=|/evil"},
               {"kernel.shm_rmid_forced", "1\nx"},
               {"kernel.shm_rmid_forced+kernel.core_pattern", "|/evil"},
               {"kernel.core_pattern", "|/evil"},
               {"kernel.shm*", "1"},
               {"net.ipv4.conf.../../../kernel/core_pattern", "|/evil"},
               {"fs.suid_dumpable", "2"},
               {"vm.overcommit_memory", "1"}};
  for (const auto& c : cases) {
    cri::PodSandboxConfig config = MakePodConfig(Name());
    (*config.mutable_linux()->mutable_sysctls())[c.name] = c.value;
    EXPECT_FALSE(client().RunPod(config).ok()) << c.name;
  }
  EXPECT_EQ(FileOfNode("/proc/sys/kernel/core_pattern"), pattern);
}

TEST_F(SecurityTest, S_39_AnnotationsAreDataNotCommands) {
  const auto with = [&](bool annotated) {
    cri::PodSandboxConfig pod_config = MakeKubeletPodConfig(Name());
    cri::ContainerConfig config = MakeKubeletProbe("c", {"report"});
    if (annotated) {
      for (auto* annotations : {pod_config.mutable_annotations(), config.mutable_annotations()}) {
        (*annotations)["org.systemd.property.CPUQuotaPerSecUSec"] = "'infinity'";
        (*annotations)["run.oci.keep_original_groups"] = "1";
        (*annotations)["run.oci.hooks.stderr"] = "/tmp/x";
        (*annotations)["io.kubernetes.cri-o.Devices"] = "/dev/kmsg:/dev/kmsg:rwm";
        (*annotations)["io.kubernetes.cri-o.userns-mode"] = "auto";
        (*annotations)["io.kubernetes.cri-o.ShmSize"] = "1Gi";
        (*annotations)["io.kubernetes.cri.untrusted-workload"] = "true";
        (*annotations)["seccomp-profile.kubernetes.cri-o.io"] = "unconfined";
        (*annotations)["module.wasm.image/variant"] = "compat";
      }
    }
    return Report(pod_config, config);
  };
  const Json plain = with(false), annotated = with(true);
  for (const char* part : {"status", "filesystems", "uid", "groups", "cgroup_files", "dev"})
    EXPECT_EQ(plain[part], annotated[part]) << part;
}

TEST_F(SecurityTest, S_40_ImageLabelsAreNoLabelsOfTheContainer) {
  const std::string image = MakeImage(
      {}, {{"Labels", {{"io.kubernetes.pod.name", "evil"}, {"berth.log", "binary:///evil"}}}});
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(From(image, {"sleep"})));
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
  EXPECT_EQ(status.labels().count("berth.log"), 0u);
  EXPECT_EQ(status.labels().count("io.kubernetes.pod.name"), 0u);
}

TEST_F(SecurityTest, S_44_StrictGroupsAreOnlyThoseAskedFor) {
  cri::ContainerConfig config = MakeKubeletProbe("c", {"report"});
  Security(config)->mutable_run_as_user()->set_value(1001);
  Security(config)->set_supplemental_groups_policy(cri::Strict);
  EXPECT_EQ(Report(config)["groups"], Json::array({1001}));
  Security(config)->set_supplemental_groups_policy(static_cast<cri::SupplementalGroupsPolicy>(77));
  EXPECT_CODE(Refusal(config), kInvalidArgument);
}

}  // namespace
}  // namespace berth::e2e
