// CDI devices: specifications in a configured directory, and what they put into a container.
#include <gmock/gmock.h>

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "test/e2e/own_node.h"
#include "test/e2e/probed.h"
#include "test/e2e/volume.h"

namespace berth::e2e {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

class CdiTest : public ProbedTest {
 protected:
  void SetUp() override {
    ProbedTest::SetUp();
    if (HasFatalFailure()) return;
    dir_.emplace(Name("-cdi"));
    dir_->MakeDir("specs");
    dir_->MakeDir("later");
    dir_->Write("mounted/file", "text");
    ASSERT_EQ(mknod((*dir_ / "loop").c_str(), S_IFCHR | 0640, makedev(10, 237)), 0);
    dir_->Write("hook.sh",
                absl::StrCat("#!/bin/sh\n{ cat /proc/$$/environ | tr '\\0' '\\n'; cat; } >",
                             *dir_ / "hooked", "\n"),
                0755);
    auto own = OwnNode::Start(
        "cdi", absl::StrCat("[cdi]\ndirs = \"", *dir_ / "specs", ":", *dir_ / "later", "\"\n"));
    ASSERT_OK(own);
    own_.emplace(*std::move(own));
  }
  void TearDown() override {
    own_.reset();
    dir_.reset();
    ProbedTest::TearDown();
  }
  void WriteSpec(const std::string& file, const Json& spec) { dir_->Write(file, spec.dump()); }
  Json Gadget() {
    const Json one = {
        {"env", {"GADGET=one"}},
        {"deviceNodes",
         {{{"path", "/dev/gadget0"}, {"hostPath", *dir_ / "loop"}, {"permissions", "r"}}}},
        {"mounts",
         {{{"hostPath", *dir_ / "mounted"},
           {"containerPath", "/gadget"},
           {"options", {"ro", "nosuid", "nodev", "bind"}}}}},
        {"hooks",
         {{{"hookName", "createRuntime"},
           {"path", *dir_ / "hook.sh"},
           {"args", {"hook.sh", "arg"}},
           {"env", {"HOOK=env"}}}}},
        {"additionalGids", {4242}}};
    return {{"cdiVersion", "0.7.0"},
            {"kind", "example.com/gadget"},
            {"containerEdits", {{"env", {"EVERY=gadget"}}}},
            {"devices",
             {{{"name", "one"}, {"containerEdits", one}},
              {{"name", "two"}, {"containerEdits", {{"env", {"SECOND=two"}}}}}}}};
  }
  static cri::ContainerConfig Container(const std::vector<std::string>& arguments,
                                        const std::vector<std::string>& names) {
    cri::ContainerConfig config = MakeProbe("c", arguments);
    for (const std::string& name : names) config.add_cdi_devices()->set_name(name);
    return config;
  }
  absl::StatusOr<Json> Seen(const cri::ContainerConfig& config) {
    auto pod = Pod::Run(own_->client(), MakePodConfig(Name(absl::StrCat("-", pods_++))));
    if (!pod.ok()) return pod.status();
    return pod->RunForJson(config);
  }
  absl::Status CreateStatus(const cri::ContainerConfig& config) {
    auto pod = Pod::Run(own_->client(), MakePodConfig(Name(absl::StrCat("-", pods_++))));
    if (!pod.ok()) return pod.status();
    return pod->Create(config).status();
  }
  std::optional<HostDir> dir_;
  std::optional<OwnNode> own_;
  int pods_ = 0;
};

TEST_F(CdiTest, DeviceBringsNodeMountVariableGroupAndHook) {
  WriteSpec("specs/gadget.json", Gadget());
  const auto config = Container({"report"}, {"example.com/gadget=one"});
  ASSERT_OK_AND_ASSIGN(const Json report, Seen(config));
  auto env = Environment(report);
  EXPECT_EQ(env["GADGET"], "one");
  EXPECT_EQ(env["EVERY"], "gadget");
  EXPECT_EQ(env.count("SECOND"), 0u);
  EXPECT_THAT(report["groups"].get<std::vector<int>>(), Contains(4242));
  EXPECT_EQ(report["dev"]["/dev/gadget0"].value("rdev", ""), "10:237");
  EXPECT_THAT(MountAt(report, "/gadget").options, HasSubstr("ro"));
  EXPECT_THAT(dir_->Read("hooked"), HasSubstr("HOOK=env\n"));
  EXPECT_THAT(dir_->Read("hooked"), HasSubstr("\"id\""));
}

TEST_F(CdiTest, MountOfWhatIsNotThereIsRefusedAndNotMade) {
  Json gadget = Gadget();
  gadget["devices"][0]["containerEdits"]["mounts"][0]["hostPath"] = *dir_ / "absent";
  WriteSpec("specs/gadget.json", gadget);
  EXPECT_THAT(
      std::string(Seen(Container({"report"}, {"example.com/gadget=one"})).status().message()),
      HasSubstr(absl::StrCat("open volume ", *dir_ / "absent", ": No such file or directory")));
  EXPECT_NE(access((*dir_ / "absent").c_str(), F_OK), 0);
}

TEST_F(CdiTest, PermissionsOfTheNodeAreEnforced) {
  WriteSpec("specs/gadget.json", Gadget());
  ASSERT_OK_AND_ASSIGN(const Json devices,
                       Seen(Container({"devices", "/dev/gadget0"}, {"example.com/gadget=one"})));
  EXPECT_EQ(devices["/dev/gadget0"]["read"], "ok");
  EXPECT_EQ(devices["/dev/gadget0"]["write"], "EPERM");
}

TEST_F(CdiTest, AnnotationsNameDevicesToo) {
  WriteSpec("specs/gadget.json", Gadget());
  cri::ContainerConfig config = Container({"report"}, {"example.com/gadget=one"});
  (*config.mutable_annotations())["cdi.k8s.io/plugin_x"] =
      "example.com/gadget=one,example.com/gadget=two";
  ASSERT_OK_AND_ASSIGN(const Json report, Seen(config));
  auto env = Environment(report);
  EXPECT_EQ(env["GADGET"], "one");
  EXPECT_EQ(env["SECOND"], "two");
}

TEST_F(CdiTest, YamlIsReadAndALaterDirectoryWins) {
  dir_->Write("specs/tool.yaml", R"(cdiVersion: "0.6.0"
kind: example.com/tool
devices:
- name: a
  containerEdits:
    env:
    - TOOL=first
)");
  WriteSpec("later/tool.json",
            {{"cdiVersion", "0.6.0"},
             {"kind", "example.com/tool"},
             {"devices", {{{"name", "a"}, {"containerEdits", {{"env", {"TOOL=later"}}}}}}}});
  ASSERT_OK_AND_ASSIGN(const Json report, Seen(Container({"report"}, {"example.com/tool=a"})));
  EXPECT_EQ(Environment(report)["TOOL"], "later");
}

TEST_F(CdiTest, SpecThatIsWrittenLaterIsFound) {
  EXPECT_FALSE(CreateStatus(Container({"report"}, {"example.com/gadget=two"})).ok());
  WriteSpec("specs/gadget.json", Gadget());
  EXPECT_OK(Seen(Container({"report"}, {"example.com/gadget=two"})));
}

TEST_F(CdiTest, UnknownDevicesAreRefusedByName) {
  WriteSpec("specs/gadget.json", Gadget());
  for (const char* name : {"example.com/gadget=three", "example.com/other=one", "gadget=one",
                           "example.com/gadget", "../x=y", ""}) {
    const absl::Status refusal = CreateStatus(Container({"report"}, {name}));
    EXPECT_FALSE(refusal.ok()) << name;
    EXPECT_THAT(std::string(refusal.message()), HasSubstr(name));
  }
}

TEST_F(CdiTest, BrokenSpecDoesNotHideGoodOnes) {
  WriteSpec("specs/gadget.json", Gadget());
  dir_->Write("specs/broken.json", "{ not JSON");
  dir_->Write("specs/README.txt", "not a spec");
  EXPECT_OK(Seen(Container({"report"}, {"example.com/gadget=two"})));
}

}  // namespace
}  // namespace berth::e2e
