// Pods in a user namespace of their own: what is inside, who owns what on both sides of the map,
// and what is refused.
#include <gmock/gmock.h>

#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "test/e2e/probed.h"
#include "test/e2e/volume.h"

namespace berth::e2e {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

constexpr uint32_t kFirst = 65536 * 17, kLength = 65536;

void SetMapping(cri::UserNamespace* user, uint32_t first, uint32_t length) {
  user->set_mode(cri::POD);
  for (cri::IDMapping* mapping : {user->add_uids(), user->add_gids()}) {
    mapping->set_host_id(first);
    mapping->set_container_id(0);
    mapping->set_length(length);
  }
}

void MapMount(cri::Mount* mount) {
  for (cri::IDMapping* mapping : {mount->add_uidmappings(), mount->add_gidmappings()}) {
    mapping->set_host_id(kFirst);
    mapping->set_container_id(0);
    mapping->set_length(kLength);
  }
}

class UserNamespaceTest : public ProbedTest {
 protected:
  cri::PodSandboxConfig PodConfig() {
    cri::PodSandboxConfig config = MakeKubeletPodConfig(Name());
    NamespaceOptions(config)->clear_userns_options();
    SetMapping(NamespaceOptions(config)->mutable_userns_options(), kFirst, kLength);
    return config;
  }
  cri::ContainerConfig Container(const std::vector<std::string>& arguments) {
    cri::ContainerConfig config = MakeProbe("c", arguments);
    NamespaceOptions(config)->set_pid(cri::CONTAINER);
    SetMapping(NamespaceOptions(config)->mutable_userns_options(), kFirst, kLength);
    return config;
  }
  Json Inside(const std::vector<std::string>& arguments) {
    return Report(PodConfig(), Container(arguments));
  }
};

TEST_F(UserNamespaceTest, MapsAreTheOnesAskedFor) {
  const Json report = Inside({"report"});
  for (const char* map : {"uid_map", "gid_map"})
    EXPECT_THAT(report.value(map, ""), MatchesRegex(" *0 +1114112 +65536\n")) << map;
  EXPECT_EQ(report["uid"], 0);
  EXPECT_EQ(report["gid"], 0);
  EXPECT_NE(report["namespaces"]["user"], OwnNamespace("user"));
}

TEST_F(UserNamespaceTest, ProcessIsTheMappedUserOnTheNode) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), PodConfig()));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(Container({"sleep"})));
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  request.set_verbose(true);
  ASSERT_OK_AND_ASSIGN(const auto status, client().Call(&Runtime::ContainerStatus, request));
  const Json info = Json::parse(status.info().at("info"), nullptr, false);
  struct stat file {};
  ASSERT_EQ(stat(absl::StrCat("/proc/", info.value("pid", 0)).c_str(), &file), 0);
  EXPECT_EQ(file.st_uid, kFirst);
  EXPECT_EQ(file.st_gid, kFirst);
}

TEST_F(UserNamespaceTest, FilesOfTheImageKeepTheirOwnersInside) {
  const Json paths = Inside({"paths", "/", "/probe", "/etc/passwd", "/tmp", "/dev", "/dev/pts"});
  for (const auto& [path, info] : paths.items()) {
    EXPECT_EQ(info["uid"], 0) << path;
    EXPECT_EQ(info["gid"], 0) << path;
  }
  EXPECT_EQ(paths["/etc/passwd"]["write"], "ok");
}

// What the kernel itself gives to the node's root, in every user namespace: the roots of proc and
// sysfs, and the device nodes, which only the node can make.
TEST_F(UserNamespaceTest, WhatIsTheNodesHasTheOverflowOwner) {
  const Json paths = Inside({"paths", "/proc", "/dev/null", "/dev/tty"});
  for (const auto& [path, info] : paths.items()) {
    EXPECT_EQ(info["uid"], 65534) << path;
    EXPECT_EQ(info["gid"], 65534) << path;
  }
}

TEST_F(UserNamespaceTest, EverythingElseHasAMappedOwner) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), PodConfig()));
  ASSERT_OK_AND_ASSIGN(const Json tree, pod.RunForJson(Container({"tree", "/etc", "/dev"})));
  EXPECT_TRUE(tree.contains("/dev/mqueue")) << tree;
  const std::set<std::string> nodes = {"/dev/full",    "/dev/null", "/dev/random",
                                       "/dev/urandom", "/dev/tty",  "/dev/zero"};
  for (const auto& [path, info] : tree.items()) {
    if (nodes.contains(path)) continue;
    EXPECT_NE(info["uid"], 65534) << path;
    EXPECT_NE(info["gid"], 65534) << path;
  }
}

TEST_F(UserNamespaceTest, NamespacesOfThePodBelongToIt) {
  cri::ContainerConfig config = Container({"report"});
  Security(config)->mutable_capabilities()->add_add_capabilities("SYS_ADMIN");
  const Json report = Report(PodConfig(), config);
  EXPECT_EQ(report["syscalls"]["sethostname"], "ok") << "root inside owns the UTS namespace";
  EXPECT_EQ(report["syscalls"]["raw_socket"], "ok") << "and the network namespace";
}

TEST_F(UserNamespaceTest, DevicesAreThereAndWork) {
  const Json devices =
      Inside({"devices", "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"});
  for (const auto& [path, info] : devices.items()) {
    EXPECT_EQ(info["type"], "char") << path;
    EXPECT_EQ(info["read"], "ok") << path;
    EXPECT_EQ(info["make"], "EPERM") << "no user namespace makes device nodes: " << path;
  }
}

TEST_F(UserNamespaceTest, SysIsReadOnlyAndProcIsItsOwn) {
  const Json report = Inside({"report"});
  EXPECT_EQ(report["filesystems"]["/sys"]["readonly"], true);
  EXPECT_EQ(MountAt(report, "/sys").type, "sysfs");
  EXPECT_EQ(MountAt(report, "/proc").type, "proc");
  EXPECT_EQ(report["pid"], 1);
  EXPECT_EQ(report["processes"].size(), 1u);
}

TEST_F(UserNamespaceTest, DefaultSysctlsAndThoseAskedForAreSet) {
  cri::PodSandboxConfig config = PodConfig();
  (*config.mutable_linux()->mutable_sysctls())["net.ipv4.ip_unprivileged_port_start"] = "88";
  (*config.mutable_linux()->mutable_sysctls())["kernel.shm_rmid_forced"] = "1";
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), config));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(Container({"sleep"})));
  EXPECT_EQ(ReadInside(id, "/proc/sys/net/ipv4/ip_unprivileged_port_start"), "88\n");
  EXPECT_EQ(ReadInside(id, "/proc/sys/kernel/shm_rmid_forced"), "1\n");
}

TEST_F(UserNamespaceTest, MappedVolumeShowsTheNodesOwnersInside) {
  HostDir volume(Name("-volume"));
  ASSERT_EQ(chown(volume.Write("file", "text").c_str(), 1000, 2000), 0);
  cri::ContainerConfig config = Container({"sleep"});
  MapMount(AddMount(config, "/vol", volume.path()));
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), PodConfig()));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  ASSERT_OK_AND_ASSIGN(const Json paths, pod.ExecForJson(id, {"paths", "/vol/file", "/vol"}));
  EXPECT_EQ(paths["/vol/file"]["uid"], 1000);
  EXPECT_EQ(paths["/vol/file"]["gid"], 2000);
  EXPECT_EQ(paths["/vol"]["write"], "ok");
  EXPECT_EQ(ExecCode(id, {"write", "/vol/made"}), 0);
  struct stat made {};
  ASSERT_EQ(stat((volume / "made").c_str(), &made), 0);
  EXPECT_EQ(made.st_uid, 0u) << "written by root inside, owned by root on the volume";
}

TEST_F(UserNamespaceTest, VolumeWithoutMappingShowsTheOverflowOwner) {
  HostDir volume(Name("-volume"));
  volume.Write("file", "text");
  cri::ContainerConfig config = Container({"paths", "/vol/file"});
  AddMount(config, "/vol", volume.path());
  const Json paths = Report(PodConfig(), config);
  EXPECT_EQ(paths["/vol/file"]["uid"], 65534);
  EXPECT_EQ(paths["/vol/file"]["write"], "EACCES");
}

TEST_F(UserNamespaceTest, WritableLayerBelongsToTheNodesRoot) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), PodConfig()));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(Container({"sleep"})));
  EXPECT_EQ(ExecCode(id, {"write", "/data/made-inside"}), 0);
  ASSERT_OK_AND_ASSIGN(const Json paths, pod.ExecForJson(id, {"paths", "/data/made-inside"}));
  EXPECT_EQ(paths["/data/made-inside"]["uid"], 0);
}

TEST_F(UserNamespaceTest, S_47_FileSystemThatCannotBeMappedIsRefused) {
  HostDir volume(Name("-volume"));
  ASSERT_OK_AND_ASSIGN(const HostMount mount, HostMount::Type("ramfs", volume.path()));
  cri::ContainerConfig config = Container({"report"});
  MapMount(AddMount(config, "/vol", volume.path()));
  const absl::Status refusal = Refusal(PodConfig(), config);
  EXPECT_FALSE(refusal.ok());
  EXPECT_THAT(std::string(refusal.message()), HasSubstr(volume.path()));
}

TEST_F(UserNamespaceTest, ExecAndTerminalRunInside) {
  cri::ContainerConfig config = Container({"sleep"});
  config.set_tty(true);
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), PodConfig()));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  ASSERT_OK_AND_ASSIGN(const Json exec, pod.ExecForJson(id, {"report"}));
  EXPECT_THAT(exec.value("uid_map", ""), HasSubstr("1114112"));
  EXPECT_EQ(exec["uid"], 0);
  cri::ContainerConfig second = Container({"report"});
  second.mutable_metadata()->set_name("t");
  second.set_log_path("t/0.log");
  second.set_tty(true);
  ASSERT_OK_AND_ASSIGN(const Json terminal, pod.RunForJson(second));
  for (const int fd : {0, 1, 2}) EXPECT_EQ(terminal["stdio"][fd]["tty"], true) << fd;
  EXPECT_EQ(terminal["dev"]["/dev/console"]["type"], "char");
}

TEST_F(UserNamespaceTest, SharedPidNamespaceIsTheUserNamespacesOwn) {
  cri::PodSandboxConfig pod_config = PodConfig();
  NamespaceOptions(pod_config)->set_pid(cri::POD);
  cri::ContainerConfig config = Container({"report"});
  NamespaceOptions(config)->set_pid(cri::POD);
  const Json report = Report(pod_config, config);
  EXPECT_NE(report["pid"], 1);
  EXPECT_THAT(report.value("uid_map", ""), HasSubstr("1114112"));
}

TEST_F(UserNamespaceTest, ContainersOfThePodShareIt) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), PodConfig()));
  ASSERT_OK_AND_ASSIGN(const Json a, pod.RunForJson(Container({"report"})));
  cri::ContainerConfig other = Container({"report"});
  other.mutable_metadata()->set_name("d");
  other.set_log_path("d/0.log");
  ASSERT_OK_AND_ASSIGN(const Json b, pod.RunForJson(other));
  for (const char* kind : {"user", "net", "ipc", "uts"})
    EXPECT_EQ(a["namespaces"][kind], b["namespaces"][kind]) << kind;
}

TEST_F(UserNamespaceTest, HostNetworkWorksOrIsRefusedByName) {
  cri::PodSandboxConfig pod_config = PodConfig();
  pod_config.clear_hostname();
  pod_config.clear_port_mappings();
  NamespaceOptions(pod_config)->set_network(cri::NODE);
  cri::ContainerConfig config = Container({"report"});
  NamespaceOptions(config)->set_network(cri::NODE);
  ASSERT_OK_AND_ASSIGN(const auto status, client().Call(&Runtime::Status, cri::StatusRequest()));
  if (!status.features().user_namespaces_host_network()) {
    EXPECT_CODE(client().RunPod(pod_config), kInvalidArgument, kFailedPrecondition, kUnimplemented);
    return;
  }
  const Json report = Report(pod_config, config);
  EXPECT_EQ(report["namespaces"]["net"], OwnNamespace("net"));
  EXPECT_NE(report["namespaces"]["user"], OwnNamespace("user"));
  EXPECT_EQ(report["filesystems"]["/sys"]["readonly"], true);
}

TEST_F(UserNamespaceTest, StatusSaysThatItIsServed) {
  ASSERT_OK_AND_ASSIGN(const auto status, client().Call(&Runtime::Status, cri::StatusRequest()));
  bool served = false;
  for (const auto& handler : status.runtime_handlers())
    served |= handler.name().empty() && handler.features().user_namespaces();
  EXPECT_TRUE(served);
}

TEST_F(UserNamespaceTest, MemoryOfThePodIsMapped) {
  const Json paths = Inside({"paths", "/dev/shm", "/etc/hosts", "/etc/hostname", "/dev/mqueue"});
  for (const auto& [path, info] : paths.items()) EXPECT_EQ(info["uid"], 0) << path;
  EXPECT_EQ(paths["/dev/shm"]["write"], "ok");
}

TEST_F(UserNamespaceTest, PrivilegedRootInsideIsNobodyOnTheNode) {
  const Json paths = Inside({"paths", "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern",
                             "/sys/kernel/mm/transparent_hugepage/enabled"});
  for (const auto& [path, info] : paths.items())
    EXPECT_THAT(info.value("write", "ENOENT"), AnyOf("EACCES", "EPERM", "EROFS", "ENOENT")) << path;
}

struct BadMapping {
  const char* name;
  void (*change)(cri::UserNamespace*);
};

class UserNamespaceRefusalTest : public ProbedTest,
                                 public testing::WithParamInterface<BadMapping> {};

TEST_P(UserNamespaceRefusalTest, S_47_IsInvalid) {
  cri::PodSandboxConfig config = MakePodConfig(Name());
  cri::UserNamespace* user = NamespaceOptions(config)->mutable_userns_options();
  SetMapping(user, kFirst, kLength);
  GetParam().change(user);
  EXPECT_CODE(client().RunPod(config), kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(
    Mappings, UserNamespaceRefusalTest,
    testing::Values(
        BadMapping{"TwoMappings", [](cri::UserNamespace* u) { *u->add_uids() = u->uids(0); }},
        BadMapping{"NoMapping", [](cri::UserNamespace* u) { u->clear_gids(); }},
        BadMapping{"RootNotCovered",
                   [](cri::UserNamespace* u) { u->mutable_uids(0)->set_container_id(1); }},
        BadMapping{"NoLength", [](cri::UserNamespace* u) { u->mutable_gids(0)->set_length(0); }},
        BadMapping{"PastTheEnd",
                   [](cri::UserNamespace* u) { u->mutable_uids(0)->set_host_id(0xfffffff0); }},
        BadMapping{"HostRoot", [](cri::UserNamespace* u) { u->mutable_uids(0)->set_host_id(0); }},
        BadMapping{"ModeContainer", [](cri::UserNamespace* u) { u->set_mode(cri::CONTAINER); }},
        BadMapping{"ModeTarget", [](cri::UserNamespace* u) { u->set_mode(cri::TARGET); }},
        BadMapping{"NodeWithMappings", [](cri::UserNamespace* u) { u->set_mode(cri::NODE); }}),
    [](const auto& info) { return info.param.name; });

TEST_F(UserNamespaceTest, S_47_ContainerMustHaveThePodsMapping) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), PodConfig()));
  cri::ContainerConfig config = Container({"report"});
  NamespaceOptions(config)->mutable_userns_options()->mutable_uids(0)->set_length(1000);
  EXPECT_CODE(pod.Create(config), kInvalidArgument);
  NamespaceOptions(config)->mutable_userns_options()->Clear();
  NamespaceOptions(config)->mutable_userns_options()->set_mode(cri::NODE);
  EXPECT_CODE(pod.Create(config), kInvalidArgument);
}

}  // namespace
}  // namespace berth::e2e
