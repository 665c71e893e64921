#include "src/oci/oci_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/mount.h>
#include <linux/sched.h>

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/oci/commands.h"
#include "src/oci/config_fields.h"

namespace berth::oci {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

json Base() { return json::parse(DefaultSpecJson()); }

absl::StatusOr<OciConfig> Parse(const json& document, std::set<std::string>* read = nullptr) {
  return ParseOciConfig(document.dump(), "/bundle", "id", read);
}

std::string ErrorOf(const json& document) {
  return std::string(Parse(document).status().message());
}

// The base with one value put at a JSON pointer.
json With(const char* pointer, json value) {
  json document = Base();
  document[json::json_pointer(pointer)] = std::move(value);
  return document;
}

// A document that has an element in every list, so that the parser goes everywhere.
json Everything() {
  json document = Base();
  const json hook = {{"path", "/h"}};
  for (const char* stage : {"prestart", "createRuntime", "createContainer", "startContainer",
                            "poststart", "poststop"}) {
    document["hooks"][stage] = {hook};
  }
  document["process"]["user"]["additionalGids"] = {1};
  document["linux"]["devices"] = {{{"type", "c"}, {"path", "/dev/x"}}};
  document["linux"]["uidMappings"] = {{{"containerID", 0}, {"hostID", 1000}, {"size", 10}}};
  document["linux"]["gidMappings"] = document["linux"]["uidMappings"];
  document["linux"]["namespaces"].push_back({{"type", "user"}});
  document["linux"]["resources"]["hugepageLimits"] = {{{"pageSize", "2MB"}, {"limit", 0}}};
  return document;
}

TEST(OciConfig, ReadsEveryHonouredFieldAndNoOther) {
  std::set<std::string> read;
  ASSERT_EQ(ErrorOf(Everything()), "");
  ASSERT_TRUE(Parse(Everything(), &read).ok());
  // In the order of the log: "x" is read for every list "x[]".
  std::set<std::string> rows, honoured;
  for (const ConfigField& field : ConfigFields()) {
    rows.insert(field.path);
    if (field.handling == Handling::kHonoured) honoured.insert(field.path);
  }
  for (const std::string& field : honoured) {
    // Mappings of a mount are read as the lists they are.
    EXPECT_TRUE(read.count(field)) << field << " is said to be honoured, and is never read";
  }
  for (const std::string& field : read) {
    const bool below_mappings = field.find("Mappings[]") != std::string::npos;
    EXPECT_TRUE(rows.count(field) || rows.count(field + "[]") || below_mappings ||
                (field.size() > 2 && rows.count(field.substr(0, field.size() - 2))))
        << field << " is read, and is not in the table";
  }
}

// "field<TAB>handling<TAB>how" lines with a heading.
std::string CoveragePage() {
  std::string text = "field\thandling\thow\n";
  for (const ConfigField& field : ConfigFields()) {
    if (field.handling == Handling::kInside) continue;
    const bool honoured = field.handling == Handling::kHonoured;
    absl::StrAppend(&text, field.path, "\t", honoured ? "honoured" : "refused", "\t", field.how,
                    "\n");
  }
  return text;
}

TEST(OciConfig, CoveragePageIsTheTable) {
  std::ifstream file(BERTH_SOURCE_DIR "/docs/oci-coverage.tsv");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), CoveragePage());
}

TEST(OciConfig, RefusesEveryRefusedFieldByItsName) {
  int refused = 0;
  for (const ConfigField& field : ConfigFields()) {
    if (field.handling != Handling::kRefused) continue;
    std::string pointer = "/" + std::string(field.path);
    for (char& c : pointer) c = c == '.' ? '/' : c;
    const absl::Status status = Parse(With(pointer.c_str(), {{"x", 1}})).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << field.path;
    EXPECT_THAT(std::string(status.message()), HasSubstr(field.path));
    EXPECT_TRUE(Parse(With(pointer.c_str(), json::object())).ok()) << field.path;
    ++refused;
  }
  EXPECT_GT(refused, 15);
}

TEST(OciConfig, PassesUnknownFieldsOverAndSaysSo) {
  const absl::StatusOr<OciConfig> config = Parse(With("/linux/newThing", 1));
  ASSERT_TRUE(config.ok());
  EXPECT_THAT(config->unknown_fields, ElementsAre("linux.newThing"));
}

struct BadCase {
  const char* name;
  const char* pointer;
  json value;
  const char* message;
};

class BadConfig : public testing::TestWithParam<BadCase> {};

TEST_P(BadConfig, IsRefused) {
  const BadCase& param = GetParam();
  EXPECT_THAT(ErrorOf(With(param.pointer, param.value)), HasSubstr(param.message));
}

const BadCase kBad[] = {
    {"version", "/ociVersion", "2.0.0", "\"2.0.0\" is not 1.x"},
    {"version_type", "/ociVersion", 1, "ociVersion: not a string"},
    {"no_args", "/process/args", json::array(), "process.args: names no program"},
    {"relative_cwd", "/process/cwd", "x", "process.cwd: not an absolute path"},
    {"nul_in_env", "/process/env", {std::string("A=\0B", 4)}, "process.env: has a NUL in it"},
    {"capability", "/process/capabilities/bounding", {"CAP_NONE"}, "CAP_NONE"},
    {"all_capabilities", "/process/capabilities/bounding", {"CAP_ALL"}, "CAP_ALL"},
    {"effective_above_permitted",
     "/process/capabilities/effective",
     {"CAP_SYS_ADMIN"},
     "that permitted has not"},
    {"ambient_above", "/process/capabilities/ambient", {"CAP_KILL"}, "inheritable has not"},
    {"uid", "/process/user/uid", -1, "process.user.uid: out of range"},
    {"uid_fraction", "/process/user/uid", 1.5, "process.user.uid: not a whole number"},
    {"no_change_uid", "/process/user/uid", 4294967295u, "process.user.uid: out of range"},
    {"rlimit", "/process/rlimits", {{{"type", "RLIMIT_X"}, {"soft", 1}, {"hard", 1}}}, "RLIMIT_X"},
    {"rlimit_order",
     "/process/rlimits",
     {{{"type", "RLIMIT_CORE"}, {"soft", 2}, {"hard", 1}}},
     "above the hard one"},
    {"rlimit_twice",
     "/process/rlimits",
     {{{"type", "RLIMIT_CORE"}, {"soft", 1}, {"hard", 1}},
      {{"type", "RLIMIT_CORE"}, {"soft", 1}, {"hard", 1}}},
     "is there twice"},
    {"oom", "/process/oomScoreAdj", 1001, "oomScoreAdj: out of range"},
    {"hook", "/hooks/poststop", {{{"path", "x"}}}, "hooks.poststop[]: path is not absolute"},
    {"root", "/root", {{"readonly", true}}, "root: has no path"},
    {"mount_up", "/mounts/0/destination", "/a/../..", "not an absolute path below the root"},
    {"mount_root", "/mounts/0/destination", "//.", "not an absolute path below the root"},
    {"mount_option", "/mounts/0/options", {"tmpcopyup"}, "\"tmpcopyup\" is not supported"},
    {"bind_nothing",
     "/mounts/0",
     {{"destination", "/a"}, {"options", {"bind"}}},
     "a bind without a source"},
    {"bind_data",
     "/mounts/0",
     {{"destination", "/a"}, {"source", "/b"}, {"options", {"bind", "size=1"}}},
     "means nothing to a bind"},
    {"idmap_alone",
     "/mounts/0",
     {{"destination", "/a"}, {"source", "/b"}, {"options", {"bind", "idmap"}}},
     "needs a user namespace"},
    {"namespace", "/linux/namespaces", {{{"type", "time"}}}, "\"time\""},
    {"no_mount_namespace", "/linux/namespaces", {{{"type", "pid"}}}, "without a mount namespace"},
    {"namespace_twice", "/linux/namespaces", {{{"type", "mount"}}, {{"type", "mount"}}}, "twice"},
    {"join_mount", "/linux/namespaces", {{{"type", "mount"}, {"path", "/x"}}}, "not supported"},
    {"mappings_alone",
     "/linux/uidMappings",
     {{{"containerID", 0}, {"hostID", 1}, {"size", 1}}},
     "mappings without a user namespace"},
    {"device_type", "/linux/devices", {{{"type", "x"}, {"path", "/dev/x"}}}, "type \"x\""},
    {"cgroup_up", "/linux/cgroupsPath", "/a/../b", "linux.cgroupsPath"},
    {"sysctl_host", "/linux/sysctl", {{"vm.swappiness", "1"}}, "not a namespace's own"},
    {"sysctl_other", "/linux/sysctl", {{"kernel.shmmaxx/../x", 1}}, "not a string"},
    {"propagation", "/linux/rootfsPropagation", "unbindable", "\"unbindable\" is not supported"},
    {"masked", "/linux/maskedPaths", {"proc"}, "not absolute"},
    {"unified", "/linux/resources/unified", {{"../x", "1"}}, "is no file of a cgroup"},
    {"rule_access", "/linux/resources/devices", {{{"allow", true}, {"access", "x"}}}, "\"x\""},
};

INSTANTIATE_TEST_SUITE_P(All, BadConfig, testing::ValuesIn(kBad),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(OciConfig, RefusesWhatIsNoObject) {
  EXPECT_FALSE(ParseOciConfig("", "/b", "i").ok());
  EXPECT_FALSE(ParseOciConfig("[]", "/b", "i").ok());
  EXPECT_FALSE(ParseOciConfig("{", "/b", "i").ok());
  EXPECT_FALSE(Parse(With("/process", 1)).ok());
}

TEST(OciConfig, RefusesASysctlOfANamespaceThatIsTheHosts) {
  json document = With("/linux/namespaces", {{{"type", "mount"}}});
  document.erase("hostname");
  document["linux"]["sysctl"] = {{"net.ipv4.ip_forward", "1"}};
  EXPECT_THAT(ErrorOf(document), HasSubstr("would be the host's"));
}

TEST(OciConfig, RefusesAHostnameWithoutItsNamespace) {
  EXPECT_THAT(ErrorOf(With("/linux/namespaces", {{{"type", "mount"}}})),
              HasSubstr("needs a new uts namespace"));
}

TEST(OciConfig, ReadsAProcess) {
  json document = Base();
  json& process = document["process"];
  process["user"] = {{"uid", 5}, {"gid", 6}, {"umask", 7}, {"additionalGids", {8, 9}}};
  process["oomScoreAdj"] = -5;
  process["apparmorProfile"] = "a";
  process["consoleSize"] = {{"height", 3}, {"width", 4}};
  const absl::StatusOr<OciConfig> config = Parse(document);
  ASSERT_TRUE(config.ok()) << config.status();
  const ProcessIdentity& identity = config->spec.identity;
  EXPECT_EQ(identity.uid, 5u);
  EXPECT_EQ(identity.gid, 6u);
  EXPECT_EQ(identity.umask, 7u);
  EXPECT_THAT(identity.groups, ElementsAre(8, 9));
  EXPECT_EQ(identity.oom_score_adj, -5);
  EXPECT_EQ(identity.apparmor, "a");
  EXPECT_TRUE(identity.no_new_privs);
  EXPECT_EQ(identity.caps.bounding, (1u << 29) | (1u << 5) | (1u << 10));
  ASSERT_EQ(identity.rlimits.size(), 1u);
  EXPECT_EQ(identity.rlimits[0].soft, 1024u);
  EXPECT_EQ(config->console_size.rows, 3);
  EXPECT_EQ(config->console_size.columns, 4);
  EXPECT_TRUE(config->spec.terminal);
}

TEST(OciConfig, TellsBindsFromFileSystems) {
  json document = Base();
  document["mounts"] = {
      {{"destination", "/a//b/"}, {"source", "src"}, {"options", {"bind", "rro", "rslave"}}},
      {{"destination", "/c"}, {"source", "/x"}, {"type", "bind"}, {"options", {"rbind"}}},
      {{"destination", "/d"}, {"type", "tmpfs"}, {"options", {"ro", "rw", "nosuid", "size=1k"}}},
      {{"destination", "/sys/fs/cgroup"}, {"type", "cgroup"}, {"options", {"ro"}}}};
  const absl::StatusOr<OciConfig> config = Parse(document);
  ASSERT_TRUE(config.ok()) << config.status();
  const std::vector<MountSpec>& mounts = config->spec.mounts;
  EXPECT_EQ(mounts[0].kind, MountSpec::Kind::kBind);
  EXPECT_EQ(mounts[0].target, "/a/b");
  EXPECT_EQ(mounts[0].source, "/bundle/src");
  EXPECT_TRUE(mounts[0].recursive_attributes);
  EXPECT_EQ(mounts[0].attributes, uint64_t{MOUNT_ATTR_RDONLY});
  EXPECT_EQ(mounts[0].propagation, Propagation::kSlave);
  EXPECT_FALSE(mounts[0].over_kernel_fs);
  EXPECT_THAT(config->plain_binds, ElementsAre(0));
  EXPECT_EQ(mounts[1].source, "/x");
  EXPECT_EQ(mounts[2].attributes, uint64_t{MOUNT_ATTR_NOSUID});
  EXPECT_THAT(mounts[2].options, ElementsAre("size=1k"));
  EXPECT_EQ(mounts[3].kind, MountSpec::Kind::kCgroup);
  EXPECT_TRUE(mounts[3].over_kernel_fs);
}

TEST(OciConfig, ReadsResources) {
  json document = Base();
  document["linux"]["resources"] = {
      {"memory", {{"limit", 1000}, {"swap", -1}}},
      {"cpu", {{"shares", 0}, {"quota", 5}, {"period", 6}, {"cpus", "0"}}},
      {"pids", {{"limit", -1}}},
      {"hugepageLimits", {{{"pageSize", "2MB"}, {"limit", 0}}}},
      {"devices",
       {{{"allow", false}},
        {{"allow", true}, {"type", "c"}, {"major", 1}, {"minor", -1}, {"access", "r"}}}}};
  const absl::StatusOr<OciConfig> config = Parse(document);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->limits.memory_bytes, 1000);
  EXPECT_EQ(config->limits.memory_swap_bytes, -1);
  EXPECT_FALSE(config->limits.cpu_shares.has_value());
  EXPECT_EQ(config->limits.cpu_quota_us, 5);
  EXPECT_EQ(config->limits.pids, -1);
  EXPECT_EQ(config->limits.hugepages.at("2MB"), 0u);
  ASSERT_EQ(config->device_rules.size(), 2u);
  EXPECT_EQ(config->device_rules[0].type, 'a');
  EXPECT_FALSE(config->device_rules[0].allow);
  EXPECT_EQ(config->device_rules[1].major, 1u);
  EXPECT_FALSE(config->device_rules[1].minor.has_value());
}

TEST(OciConfig, TellsNewNamespacesFromJoinedAndSharedOnes) {
  json document =
      With("/linux/namespaces",
           {{{"type", "mount"}}, {{"type", "network"}, {"path", "/n"}}, {{"type", "ipc"}}});
  document.erase("hostname");
  const absl::StatusOr<OciConfig> config = Parse(document);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(config->spec.namespaces.new_ipc);
  EXPECT_FALSE(config->spec.namespaces.new_network);
  EXPECT_FALSE(config->spec.namespaces.private_cgroup);
  EXPECT_FALSE(config->new_pid);
  ASSERT_EQ(config->joined.size(), 1u);
  EXPECT_EQ(config->joined[0].type, CLONE_NEWNET);
}

TEST(OciConfig, PutsRelativeCgroupsBelowItsOwn) {
  EXPECT_EQ(Parse(Base())->cgroup_path, "/berth-oci/id");
  EXPECT_EQ(Parse(With("/linux/cgroupsPath", "a/b"))->cgroup_path, "/berth-oci/a/b");
  EXPECT_EQ(Parse(With("/linux/cgroupsPath", "/a//b"))->cgroup_path, "/a/b");
}

}  // namespace
}  // namespace berth::oci
