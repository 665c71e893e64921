#include "src/runtime/cdi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "src/kernel/file.h"
#include "src/runtime/hooks.h"

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// A spec of kind vendor.com/gpu with one device "gpu0" that has `edits`.
std::string SpecWith(const std::string& edits, const std::string& version = "1.1.0") {
  return absl::StrCat(R"({"cdiVersion":")", version,
                      R"(","kind":"vendor.com/gpu","devices":[{"name":"gpu0","containerEdits":)",
                      edits, "}]}");
}

std::string EnvSpec(const std::string& value, const std::string& device = "gpu0") {
  return absl::StrReplaceAll(SpecWith(absl::StrCat(R"({"env":["V=)", value, "\"]}")),
                             {{"gpu0", device}});
}

class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/berth-cdi-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() { (void)RemoveTreeAt(AT_FDCWD, path_); }
  const std::string& path() const { return path_; }
  std::string Write(const std::string& name, const std::string& text, mode_t mode = 0644) const {
    const std::string file = absl::StrCat(path_, "/", name);
    EXPECT_TRUE(ReplaceFileAt(AT_FDCWD, file, text, mode).ok());
    return file;
  }

 private:
  std::string path_;
};

TEST(CheckCdiDeviceName, AcceptsTheGrammarOfTheSpecification) {
  for (const char* name : {"vendor.com/class=name", "v/c=0", "v-e_n.d1/c-l_a.s1=a:b-c_d.e9",
                           "nvidia.com/gpu=all", "intel.com/gpu=0000:00:02.0"}) {
    EXPECT_TRUE(CheckCdiDeviceName(name).ok()) << name;
  }
}

TEST(CheckCdiDeviceName, RefusesOthers) {
  for (const char* name : {"",
                           "vendor",
                           "vendor/class",
                           "vendor/class=",
                           "=name",
                           "/class=name",
                           "vendor/=name",
                           "1vendor/class=name",
                           "vendor/1class=name",
                           "vendor-/class=name",
                           "vendor/class.=name",
                           "vendor/class/x=name",
                           "vendor/class=-name",
                           "vendor/class=name-",
                           "vendor/class=a b",
                           "vendor/class=a/b",
                           "vendor/class=a=b",
                           "ven:dor/class=name",
                           "../x/y=z",
                           "vendor/class=n\xc3\xa4me"}) {
    EXPECT_EQ(CheckCdiDeviceName(name).code(), absl::StatusCode::kInvalidArgument) << name;
  }
}

TEST(ParseCdiSpec, ReadsAllThatASpecCanSay) {
  const auto spec = ParseCdiSpec(R"({
    "cdiVersion": "0.7.0", "kind": "vendor.com/gpu", "annotations": {"vendor.com/a": "b"},
    "containerEdits": {"env": ["ALL=1"]},
    "devices": [{"name": "0", "annotations": {"k": "v"}, "containerEdits": {
      "env": ["A=1", "B="],
      "deviceNodes": [{"path": "/dev/./gpu0", "hostPath": "/dev/null", "type": "u", "major": 1,
                       "minor": 3, "fileMode": 8630, "permissions": "mr", "uid": 7, "gid": 8}],
      "mounts": [{"hostPath": "/lib/v", "containerPath": "/lib//v", "options": ["ro"]},
                 {"hostPath": "tmpfs", "containerPath": "/t", "type": "tmpfs"}],
      "hooks": [{"hookName": "createContainer", "path": "/bin/h", "args": ["h", "x"],
                 "env": ["E=1"], "timeout": 9}],
      "additionalGids": [0, 44]}}]})",
                                 CdiFormat::kJson);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->kind, "vendor.com/gpu");
  EXPECT_THAT(spec->edits.env, ElementsAre("ALL=1"));
  const CdiEdits& edits = spec->devices.at("0");
  EXPECT_THAT(edits.env, ElementsAre("A=1", "B="));
  ASSERT_EQ(edits.device_nodes.size(), 1u);
  const CdiDeviceNode& node = edits.device_nodes[0];
  EXPECT_EQ(node.path, "/dev/gpu0");
  EXPECT_EQ(node.HostPath(), "/dev/null");
  EXPECT_EQ(node.type, 'c');
  EXPECT_EQ(node.major, 1u);
  EXPECT_EQ(node.minor, 3u);
  EXPECT_EQ(node.mode, 0666u);
  EXPECT_EQ(node.access, "rm");
  EXPECT_EQ(node.uid, 7u);
  EXPECT_EQ(node.gid, 8u);
  ASSERT_EQ(edits.mounts.size(), 2u);
  EXPECT_EQ(edits.mounts[0].container_path, "/lib/v");
  EXPECT_EQ(edits.mounts[1].type, "tmpfs");
  ASSERT_EQ(edits.hooks.create_container.size(), 1u);
  EXPECT_THAT(edits.hooks.create_container[0].env, ElementsAre(kHookPath, "E=1"));
  EXPECT_EQ(edits.hooks.create_container[0].timeout, absl::Seconds(9));
  EXPECT_THAT(edits.additional_gids, ElementsAre(44));
}

TEST(ParseCdiSpec, ReadsYaml) {
  const auto spec = ParseCdiSpec(R"(
cdiVersion: "0.5.0"
kind: vendor.com/net
devices:
- name: eth0
  containerEdits:
    deviceNodes:
    - {path: /dev/net/tun, fileMode: 0660}
    hooks:
    - hookName: poststop
      path: /bin/h
      args: [h, "1"]
)",
                                 CdiFormat::kYaml);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->devices.at("eth0").device_nodes[0].mode, 0660u);
  EXPECT_EQ(spec->devices.at("eth0").device_nodes[0].access, "rwm");
  EXPECT_THAT(spec->devices.at("eth0").hooks.poststop[0].args, ElementsAre("h", "1"));
}

struct BadSpec {
  const char* name;
  std::string text;
  const char* message;
};

std::vector<BadSpec> BadSpecs() {
  const std::string head = R"({"cdiVersion":"1.0.0","kind":"v.com/c",)";
  const std::string device = R"("devices":[{"name":"d","containerEdits":{"env":["A=1"]}}])";
  return {
      {"no object", "[]", "expected an object"},
      {"no version", R"({"kind":"v.com/c",)" + device + "}", "cdiVersion \"\" is not known"},
      {"newer version", R"({"cdiVersion":"1.2.0","kind":"v.com/c",)" + device + "}", "1.2.0"},
      {"no kind", R"({"cdiVersion":"1.0.0",)" + device + "}", "kind \"\""},
      {"kind without class", R"({"cdiVersion":"1.0.0","kind":"v.com",)" + device + "}", "kind"},
      {"bad vendor", R"({"cdiVersion":"1.0.0","kind":"-v/c",)" + device + "}", "kind"},
      {"no devices", head + R"("devices":[]})", "devices: there is none"},
      {"devices no list", head + R"("devices":{}})", "devices: expected a list"},
      {"unknown member", head + device + R"(,"extra":1})", "unknown member \"extra\""},
      {"device name", head + R"("devices":[{"name":"a b","containerEdits":{"env":["A=1"]}}]})",
       "devices[0]: bad name"},
      {"no edits", head + R"("devices":[{"name":"d","containerEdits":{}}]})", "has no edits"},
      {"device twice",
       head + R"("devices":[{"name":"d","containerEdits":{"env":["A=1"]}},)" +
           R"({"name":"d","containerEdits":{"env":["A=1"]}}]})",
       "device d twice"},
      {"annotation", head + device + R"(,"annotations":{"a b":"x"}})", "annotations: bad name"},
      {"annotation prefix", head + device + R"(,"annotations":{"a..b/c":"x"}})", "annotations"},
      {"annotation value", head + device + R"(,"annotations":{"a":1}})", "annotations"},
      {"env without =", SpecWith(R"({"env":["A"]})"), "\"A\" is not NAME=value"},
      {"env without name", SpecWith(R"({"env":["=A"]})"), "is not NAME=value"},
      {"env with NUL", SpecWith("{\"env\":[\"A=\\u0000\"]}"), "list of strings"},
      {"node without path", SpecWith(R"({"deviceNodes":[{"type":"c"}]})"), "deviceNodes[0]"},
      {"node path", SpecWith(R"({"deviceNodes":[{"path":"dev/x"}]})"), "no path of a device"},
      {"node path up", SpecWith(R"({"deviceNodes":[{"path":"/dev/../x"}]})"), "/dev/../x"},
      {"node host path", SpecWith(R"({"deviceNodes":[{"path":"/dev/x","hostPath":"x"}]})"),
       "hostPath"},
      {"node type", SpecWith(R"({"deviceNodes":[{"path":"/dev/x","type":"x"}]})"), "type \"x\""},
      {"node permissions", SpecWith(R"({"deviceNodes":[{"path":"/dev/x","permissions":"rx"}]})"),
       "permissions \"rx\""},
      {"node major", SpecWith(R"({"deviceNodes":[{"path":"/dev/x","major":-1}]})"),
       "major: out of range"},
      {"node mode", SpecWith(R"({"deviceNodes":[{"path":"/dev/x","fileMode":"0666"}]})"),
       "fileMode"},
      {"mount without source", SpecWith(R"({"mounts":[{"containerPath":"/x"}]})"), "hostPath"},
      {"mount source", SpecWith(R"({"mounts":[{"hostPath":"x","containerPath":"/x"}]})"),
       "hostPath"},
      {"mount target", SpecWith(R"({"mounts":[{"hostPath":"/x","containerPath":"x"}]})"),
       "containerPath"},
      {"mount on root", SpecWith(R"({"mounts":[{"hostPath":"/x","containerPath":"/."}]})"),
       "containerPath"},
      {"mount above", SpecWith(R"({"mounts":[{"hostPath":"/x","containerPath":"/a/.."}]})"),
       "containerPath"},
      {"hook stage", SpecWith(R"({"hooks":[{"hookName":"never","path":"/h"}]})"), "is no stage"},
      {"hook path", SpecWith(R"({"hooks":[{"hookName":"prestart","path":"h"}]})"),
       "is not absolute"},
      {"hook env", SpecWith(R"({"hooks":[{"hookName":"prestart","path":"/h","env":["A"]}]})"),
       "NAME=value"},
      {"hook timeout", SpecWith(R"({"hooks":[{"hookName":"prestart","path":"/h","timeout":0}]})"),
       "greater than zero"},
      {"gid", SpecWith(R"({"additionalGids":[-1]})"), "additionalGids"},
  };
}

TEST(ParseCdiSpec, RefusesBadSpecsAndSaysWhere) {
  for (const BadSpec& bad : BadSpecs()) {
    const auto spec = ParseCdiSpec(bad.text, CdiFormat::kJson);
    EXPECT_EQ(spec.status().code(), absl::StatusCode::kInvalidArgument)
        << bad.name << ": " << spec.status();
    EXPECT_THAT(spec.status().message(), HasSubstr(bad.message)) << bad.name;
    const auto yaml = ParseCdiSpec(bad.text, CdiFormat::kYaml);
    EXPECT_FALSE(yaml.ok()) << bad.name;
  }
}

struct VersionCase {
  const char* edits;
  const char* too_old;
  const char* enough;
};

TEST(ParseCdiSpec, HoldsASpecToItsVersion) {
  const VersionCase kCases[] = {
      {R"({"deviceNodes":[{"path":"/dev/x"}]})", "", "0.1.0"},
      {R"({"mounts":[{"hostPath":"/x","containerPath":"/x","type":"bind"}]})", "0.3.0", "0.4.0"},
      {R"({"deviceNodes":[{"path":"/dev/x","hostPath":"/dev/y"}]})", "0.4.0", "0.5.0"},
      {R"({"additionalGids":[5]})", "0.6.0", "0.7.0"},
      {R"({"intelRdt":{"closID":"x"}})", "0.6.0", "0.7.0"},
      {R"({"netDevices":[{"hostInterfaceName":"a","name":"b"}]})", "1.0.0", "1.1.0"},
  };
  for (const VersionCase& each : kCases) {
    EXPECT_TRUE(ParseCdiSpec(SpecWith(each.edits, each.enough), CdiFormat::kJson).ok())
        << each.edits;
    if (*each.too_old == '\0') continue;
    EXPECT_THAT(
        ParseCdiSpec(SpecWith(each.edits, each.too_old), CdiFormat::kJson).status().message(),
        HasSubstr(absl::StrCat("needs ", each.enough)))
        << each.edits;
  }
}

TEST(CdiRegistry, AppliesSpecEditsOnceAndDevicesInOrder) {
  const TempDir dir;
  dir.Write("v.json", R"({"cdiVersion":"0.5.0","kind":"v.com/c","containerEdits":{"env":["S=1"]},
    "devices":[{"name":"a","containerEdits":{"env":["A=1"]}},
               {"name":"b","containerEdits":{"env":["B=1"]}}]})");
  CdiRegistry registry({dir.path()});
  const auto edits = registry.Resolve({"v.com/c=b", "v.com/c=a", "v.com/c=b"});
  ASSERT_TRUE(edits.ok()) << edits.status();
  EXPECT_THAT(edits->env, ElementsAre("S=1", "B=1", "A=1"));
}

TEST(CdiRegistry, PrefersLaterDirectories) {
  const TempDir first, second;
  first.Write("v.json", EnvSpec("first"));
  second.Write("v.yaml", EnvSpec("second"));
  CdiRegistry registry({first.path(), second.path(), "/nonexistent/cdi"});
  EXPECT_THAT(registry.Resolve({"vendor.com/gpu=gpu0"})->env, ElementsAre("V=second"));
}

TEST(CdiRegistry, RefusesADeviceThatOneDirectoryHasTwice) {
  const TempDir dir, later;
  const std::string one = dir.Write("1.json", EnvSpec("1")), two = dir.Write("2.yml", EnvSpec("2"));
  dir.Write("3.json", EnvSpec("3", "gpu1"));
  CdiRegistry registry({dir.path(), later.path()});
  const absl::Status status = registry.Resolve({"vendor.com/gpu=gpu0"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr(absl::StrCat(one, ", ", two)));
  EXPECT_TRUE(registry.Resolve({"vendor.com/gpu=gpu1"}).ok());
  later.Write("v.json", EnvSpec("later"));
  EXPECT_THAT(registry.Resolve({"vendor.com/gpu=gpu0"})->env, ElementsAre("V=later"));
}

TEST(CdiRegistry, ABrokenFileTakesOnlyItsOwnDevicesAway) {
  const TempDir dir;
  const std::string broken = dir.Write("broken.json", "{");
  dir.Write("good.json", EnvSpec("good"));
  CdiRegistry registry({dir.path()});
  EXPECT_TRUE(registry.Resolve({"vendor.com/gpu=gpu0"}).ok());
  const absl::Status status = registry.Resolve({"vendor.com/gpu=gpu7"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("resolve CDI device vendor.com/gpu=gpu7: no spec"));
  EXPECT_THAT(status.message(), HasSubstr(broken));
}

TEST(CdiRegistry, SeesFilesThatCameChangedAndWent) {
  const TempDir dir;
  CdiRegistry registry({dir.path()});
  EXPECT_EQ(registry.Resolve({"vendor.com/gpu=gpu0"}).status().code(), absl::StatusCode::kNotFound);
  const std::string file = dir.Write("v.json", EnvSpec("one"));
  EXPECT_THAT(registry.Resolve({"vendor.com/gpu=gpu0"})->env, ElementsAre("V=one"));
  dir.Write("v.json", EnvSpec("other"));
  EXPECT_THAT(registry.Resolve({"vendor.com/gpu=gpu0"})->env, ElementsAre("V=other"));
  ASSERT_EQ(::unlink(file.c_str()), 0);
  EXPECT_EQ(registry.Resolve({"vendor.com/gpu=gpu0"}).status().code(), absl::StatusCode::kNotFound);
}

TEST(CdiRegistry, IgnoresOtherFiles) {
  const TempDir dir;
  dir.Write("v.json.bak", EnvSpec("x"));
  dir.Write(".hidden.json", EnvSpec("x"));
  CdiRegistry registry({dir.path()});
  EXPECT_EQ(registry.Resolve({"vendor.com/gpu=gpu0"}).status().message(),
            "resolve CDI device vendor.com/gpu=gpu0: no spec has it");
}

TEST(CdiRegistry, DoesNotBelieveFilesThatOthersMayWrite) {
  const TempDir dir;
  dir.Write("v.json", EnvSpec("x"), 0666);
  CdiRegistry registry({dir.path()});
  EXPECT_THAT(registry.Resolve({"vendor.com/gpu=gpu0"}).status().message(),
              HasSubstr("others than its owner may write it"));
}

TEST(CdiRegistry, DoesNotBelieveDirectoriesThatOthersMayWrite) {
  const TempDir dir;
  dir.Write("v.json", EnvSpec("x"));
  ASSERT_EQ(::chmod(dir.path().c_str(), 0777), 0);
  CdiRegistry registry({dir.path()});
  EXPECT_EQ(registry.Resolve({"vendor.com/gpu=gpu0"}).status().code(), absl::StatusCode::kNotFound);
}

TEST(CdiRegistry, DoesNotHangOnAFifo) {
  const TempDir dir;
  ASSERT_EQ(::mkfifo(absl::StrCat(dir.path(), "/v.json").c_str(), 0600), 0);
  CdiRegistry registry({dir.path()});
  EXPECT_THAT(registry.Resolve({"vendor.com/gpu=gpu0"}).status().message(),
              HasSubstr("is no regular file"));
}

TEST(CdiRegistry, RefusesByNameWhatBerthDoesNotDo) {
  const TempDir dir;
  dir.Write("rdt.json", SpecWith(R"({"intelRdt":{"closID":"x"}})"));
  CdiRegistry registry({dir.path()});
  const absl::Status status = registry.Resolve({"vendor.com/gpu=gpu0"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(status.message(), HasSubstr("intelRdt"));
}

TEST(CdiRegistry, RefusesHooksThatOthersMayWrite) {
  const TempDir dir;
  const std::string hook = dir.Write("hook", "#!/bin/sh\n", 0777);
  dir.Write("v.json", SpecWith(absl::StrCat(R"({"hooks":[{"hookName":"createRuntime","path":")",
                                            hook, "\"}]}")));
  CdiRegistry registry({dir.path()});
  EXPECT_EQ(registry.Resolve({"vendor.com/gpu=gpu0"}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  ASSERT_EQ(::chmod(hook.c_str(), 0755), 0);
  EXPECT_TRUE(registry.Resolve({"vendor.com/gpu=gpu0"}).ok());
}

TEST(CdiRegistry, SaysThatCdiIsOff) {
  CdiRegistry registry({});
  EXPECT_THAT(registry.Resolve({"vendor.com/gpu=gpu0"}).status().message(),
              HasSubstr("no CDI directory is configured"));
  EXPECT_TRUE(registry.Resolve({}).ok());
}

TEST(ApplyCdiEdits, ReplacesVariablesAndAddsGroupsAndHooks) {
  ContainerSpec spec{.env = {"A=old", "AB=kept"}};
  spec.identity.groups = {44};
  spec.hooks.poststop = {{.path = "/first"}};
  CdiEdits edits{.env = {"A=new", "C=3"}, .additional_gids = {44, 45}};
  edits.hooks.poststop = {{.path = "/second"}};
  ASSERT_TRUE(ApplyCdiEdits(edits, {}, &spec).ok());
  EXPECT_THAT(spec.env, ElementsAre("A=new", "AB=kept", "C=3"));
  EXPECT_THAT(spec.identity.groups, ElementsAre(44, 45));
  ASSERT_EQ(spec.hooks.poststop.size(), 2u);
  EXPECT_EQ(spec.hooks.poststop[0].path, "/first");
  EXPECT_EQ(spec.hooks.poststop[1].path, "/second");
}

std::vector<std::string> Targets(const ContainerSpec& spec) {
  std::vector<std::string> targets;
  for (const MountSpec& mount : spec.mounts) targets.push_back(mount.target);
  return targets;
}

TEST(ApplyCdiEdits, PutsAMountInFrontOfThoseBelowIt) {
  ContainerSpec spec;
  for (const char* target : {"/proc", "/opt", "/opt/v/data", "/srv"})
    spec.mounts.push_back({.target = target});
  CdiEdits edits;
  edits.mounts = {{.host_path = "/h", .container_path = "/opt/v"},
                  {.host_path = "/s", .container_path = "/srv"},
                  {.host_path = "/x", .container_path = "/opt/vx"}};
  ASSERT_TRUE(ApplyCdiEdits(edits, {}, &spec).ok());
  EXPECT_THAT(Targets(spec),
              ElementsAre("/proc", "/opt", "/opt/v", "/opt/v/data", "/srv", "/opt/vx"));
  EXPECT_EQ(spec.mounts[4].source, "/s");
  EXPECT_EQ(spec.mounts[4].kind, MountSpec::Kind::kBind);
}

TEST(ApplyCdiEdits, ReadsMountOptions) {
  ContainerSpec spec;
  CdiEdits edits;
  edits.mounts = {{.host_path = "/a",
                   .container_path = "/a",
                   .options = {"ro", "nosuid", "nodev", "noexec", "rbind", "rslave", "exec"}},
                  {.host_path = "/b", .container_path = "/proc/driver/v", .options = {"rro"}},
                  {.host_path = "tmpfs",
                   .container_path = "/t",
                   .type = "tmpfs",
                   .options = {"nosuid", "size=1m", "mode=700"}}};
  ASSERT_TRUE(ApplyCdiEdits(edits, {}, &spec).ok());
  EXPECT_EQ(spec.mounts[0].attributes,
            uint64_t{MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV});
  EXPECT_EQ(spec.mounts[0].propagation, Propagation::kSlave);
  EXPECT_FALSE(spec.mounts[0].recursive_attributes);
  EXPECT_FALSE(spec.mounts[0].over_kernel_fs);
  EXPECT_TRUE(spec.mounts[1].recursive_attributes);
  EXPECT_TRUE(spec.mounts[1].over_kernel_fs);
  EXPECT_EQ(spec.mounts[2].kind, MountSpec::Kind::kFileSystem);
  EXPECT_THAT(spec.mounts[2].options, ElementsAre("size=1m", "mode=700"));
  EXPECT_EQ(spec.mounts[2].attributes, uint64_t{MOUNT_ATTR_NOSUID});
}

TEST(ApplyCdiEdits, RefusesUnknownOptionsOfABind) {
  ContainerSpec spec;
  CdiEdits edits;
  edits.mounts = {{.host_path = "/a", .container_path = "/a", .options = {"size=1m"}}};
  EXPECT_THAT(ApplyCdiEdits(edits, {}, &spec).status().message(), HasSubstr("\"size=1m\""));
}

TEST(ApplyCdiEdits, TakesADeviceFromTheSpec) {
  ContainerSpec spec;
  spec.identity.uid = 1000;
  spec.identity.gid = 2000;
  CdiEdits edits;
  edits.device_nodes = {{.path = "/dev/g", .type = 'c', .major = 195, .minor = 0, .access = "rw"}};
  EXPECT_THAT(CdiHostDevicePaths(edits), ElementsAre());
  const auto rules = ApplyCdiEdits(edits, {}, &spec);
  ASSERT_TRUE(rules.ok()) << rules.status();
  ASSERT_EQ(spec.devices.size(), 1u);
  EXPECT_EQ(spec.devices[0].major, 195u);
  EXPECT_EQ(spec.devices[0].mode, 0666u);
  EXPECT_EQ(spec.devices[0].uid, 1000u);
  EXPECT_EQ(spec.devices[0].gid, 2000u);
  EXPECT_EQ(spec.devices[0].source, "");
  ASSERT_EQ(rules->size(), 1u);
  EXPECT_EQ((*rules)[0].access, "rw");
  EXPECT_EQ((*rules)[0].minor, 0u);
}

TEST(ApplyCdiEdits, TakesWhatTheSpecLeavesOutFromTheHost) {
  ContainerSpec spec;
  CdiEdits edits;
  edits.device_nodes = {{.path = "/dev/a", .host_path = "/dev/x", .access = "rwm"},
                        {.path = "/dev/b", .mode = 0600, .access = "r", .uid = 5},
                        {.path = "/dev/c", .host_path = "/dev/x", .type = 'b', .access = "rwm"}};
  EXPECT_THAT(CdiHostDevicePaths(edits), ElementsAre("/dev/x", "/dev/b"));
  CdiTarget target{
      .host_devices =
          {{.request = 0, .path = "/dev/real", .type = 'b', .major = 8, .minor = 1, .mode = 0640},
           {.request = 1, .path = "/dev/b", .major = 4, .minor = 2}},
      .user_namespace = true};
  const auto rules = ApplyCdiEdits(edits, target, &spec);
  ASSERT_TRUE(rules.ok()) << rules.status();
  EXPECT_EQ(spec.devices[0].type, 'b');
  EXPECT_EQ(spec.devices[0].major, 8u);
  EXPECT_EQ(spec.devices[0].mode, 0640u);
  EXPECT_EQ(spec.devices[0].source, "/dev/x");
  EXPECT_EQ(spec.devices[1].minor, 2u);
  EXPECT_EQ(spec.devices[1].mode, 0600u);
  EXPECT_EQ(spec.devices[1].uid, 5u);
  EXPECT_EQ((*rules)[0].type, 'b');
}

TEST(ApplyCdiEdits, RefusesADeviceOfAnotherTypeAndAnAbsentOne) {
  ContainerSpec spec;
  CdiEdits edits;
  edits.device_nodes = {{.path = "/dev/a", .type = 'b', .access = "rwm"}};
  EXPECT_THAT(ApplyCdiEdits(edits, {}, &spec).status().message(), HasSubstr("no device"));
  EXPECT_THAT(ApplyCdiEdits(edits, {.host_devices = {{.path = "/dev/a", .type = 'c'}}}, &spec)
                  .status()
                  .message(),
              HasSubstr("is of type c, not b"));
}

TEST(ApplyCdiEdits, ReplacesADeviceOfTheSamePath) {
  ContainerSpec spec;
  spec.devices = {{.path = "/dev/fuse", .major = 10, .minor = 229}, {.path = "/dev/null"}};
  CdiEdits edits;
  edits.device_nodes = {{.path = "/dev/fuse", .type = 'c', .major = 1, .minor = 2, .access = "r"}};
  ASSERT_TRUE(ApplyCdiEdits(edits, {}, &spec).ok());
  ASSERT_EQ(spec.devices.size(), 2u);
  EXPECT_EQ(spec.devices[0].major, 1u);
}

TEST(ApplyCdiEdits, GivesAFifoNoRule) {
  ContainerSpec spec;
  CdiEdits edits;
  edits.device_nodes = {{.path = "/dev/p", .type = 'p', .access = "rwm"}};
  const auto rules = ApplyCdiEdits(edits, {.user_namespace = true}, &spec);
  ASSERT_TRUE(rules.ok());
  EXPECT_TRUE(rules->empty());
  EXPECT_EQ(spec.devices[0].type, 'p');
  EXPECT_EQ(spec.devices[0].source, "");
}

}  // namespace
}  // namespace berth
