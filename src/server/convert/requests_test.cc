#include "src/server/convert/requests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace berth {
namespace {

namespace cri = runtime::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

cri::RunPodSandboxRequest MakePod() {
  cri::RunPodSandboxRequest request;
  request.mutable_config()->mutable_metadata()->set_name("web");
  return request;
}
cri::CreateContainerRequest MakeContainer() {
  cri::CreateContainerRequest request;
  request.mutable_config()->mutable_metadata()->set_name("app");
  request.mutable_config()->mutable_image()->set_image("busybox");
  return request;
}

using EditPod = std::function<void(cri::PodSandboxConfig&)>;
using EditContainer = std::function<void(cri::ContainerConfig&)>;

absl::StatusOr<ParsedPod> Parse(const EditPod& edit) {
  cri::RunPodSandboxRequest request = MakePod();
  edit(*request.mutable_config());
  return ParsePodRequest(request);
}
absl::StatusOr<ParsedContainer> ParseContainer(const EditContainer& edit) {
  cri::CreateContainerRequest request = MakeContainer();
  edit(*request.mutable_config());
  return ParseContainerRequest(request);
}

void ExpectRefused(const absl::Status& status, const std::string& field) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field << ": " << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(field));
}

cri::LinuxSandboxSecurityContext& SecurityOf(cri::PodSandboxConfig& config) {
  return *config.mutable_linux()->mutable_security_context();
}
cri::LinuxContainerSecurityContext& SecurityOf(cri::ContainerConfig& config) {
  return *config.mutable_linux()->mutable_security_context();
}
cri::Mount& AddMount(cri::ContainerConfig& config) {
  cri::Mount& mount = *config.add_mounts();
  mount.set_host_path("/h");
  mount.set_container_path("/v");
  return mount;
}

struct RefusedField {
  std::string row;    // of api/cri/coverage.tsv: "Message field"
  std::string named;  // how the error names it
  EditPod pod;
  EditContainer container;
};

std::vector<RefusedField> RefusedFields() {
  const auto userns = [](cri::PodSandboxConfig& config) -> cri::UserNamespace& {
    cri::UserNamespace& user =
        *SecurityOf(config).mutable_namespace_options()->mutable_userns_options();
    user.set_mode(cri::NODE);
    return user;
  };
  return {
      {"PortMapping host_port",
       "port_mappings.host_port",
       [](auto& c) { c.add_port_mappings()->set_host_port(80); },
       {}},
      {"Mount uidMappings",
       "mounts[/v].uidMappings",
       {},
       [](auto& c) { AddMount(c).add_uidmappings(); }},
      {"Mount gidMappings", "gidMappings", {}, [](auto& c) { AddMount(c).add_gidmappings(); }},
      {"Mount recursive_read_only",
       "RROUnsupported: mounts[/v].recursive_read_only",
       {},
       [](auto& c) { AddMount(c).set_recursive_read_only(true); }},
      {"Mount image",
       "mounts[/v].image",
       {},
       [](auto& c) { AddMount(c).mutable_image()->set_image("i"); }},
      {"Mount image_sub_path",
       "mounts[/v].image_sub_path",
       {},
       [](auto& c) { AddMount(c).set_image_sub_path("p"); }},
      {"Mount mount_options",
       "mounts[/v].mount_options",
       {},
       [](auto& c) { AddMount(c).add_mount_options("o"); }},
      {"Mount propagation",
       "mounts[/v].propagation",
       {},
       [](auto& c) { AddMount(c).set_propagation(cri::PROPAGATION_BIDIRECTIONAL); }},
      {"Mount propagation",
       "mounts[/v].propagation",
       {},
       [](auto& c) { AddMount(c).set_propagation(cri::PROPAGATION_HOST_TO_CONTAINER); }},
      {"IDMapping host_id",
       "userns_options",
       [=](auto& c) { userns(c).add_uids()->set_host_id(1); },
       {}},
      {"IDMapping container_id",
       "userns_options",
       [=](auto& c) { userns(c).add_uids()->set_container_id(1); },
       {}},
      {"IDMapping length",
       "userns_options",
       [=](auto& c) { userns(c).add_gids()->set_length(1); },
       {}},
      {"UserNamespace uids", "userns_options", [=](auto& c) { userns(c).add_uids(); }, {}},
      {"UserNamespace gids", "userns_options", [=](auto& c) { userns(c).add_gids(); }, {}},
      {"UserNamespace mode",
       "userns_options.mode",
       [=](auto& c) { userns(c).set_mode(cri::POD); },
       {}},
      {"UserNamespace mode",
       "userns_options.mode",
       {},
       [](auto& c) {
         SecurityOf(c).mutable_namespace_options()->mutable_userns_options()->set_mode(cri::POD);
       }},
      {"NamespaceOption network",
       "namespace_options.network",
       [](auto& c) { SecurityOf(c).mutable_namespace_options()->set_network(cri::CONTAINER); },
       {}},
      {"NamespaceOption ipc",
       "namespace_options.ipc",
       [](auto& c) { SecurityOf(c).mutable_namespace_options()->set_ipc(cri::CONTAINER); },
       {}},
      {"NamespaceOption pid", "namespace_options.pid=TARGET",
       [](auto& c) { SecurityOf(c).mutable_namespace_options()->set_pid(cri::TARGET); },
       [](auto& c) { SecurityOf(c).mutable_namespace_options()->set_pid(cri::TARGET); }},
      {"NamespaceOption pid", "namespace_options.pid",
       [](auto& c) {
         SecurityOf(c).mutable_namespace_options()->set_pid(static_cast<cri::NamespaceMode>(9));
       },
       [](auto& c) {
         SecurityOf(c).mutable_namespace_options()->set_pid(static_cast<cri::NamespaceMode>(9));
       }},
      {"NamespaceOption target_id", "namespace_options.target_id",
       [](auto& c) { SecurityOf(c).mutable_namespace_options()->set_target_id("x"); },
       [](auto& c) { SecurityOf(c).mutable_namespace_options()->set_target_id("x"); }},
      {"LinuxSandboxSecurityContext selinux_options",
       "security_context.selinux_options",
       [](auto& c) { SecurityOf(c).mutable_selinux_options()->set_type("t"); },
       {}},
      {"LinuxSandboxSecurityContext privileged",
       "security_context.privileged",
       [](auto& c) { SecurityOf(c).set_privileged(true); },
       {}},
      {"SecurityProfile localhost_ref",
       "security_context.seccomp.localhost_ref",
       {},
       [](auto& c) { SecurityOf(c).mutable_seccomp()->set_localhost_ref("x"); }},
      {"SecurityProfile localhost_ref", "security_context.apparmor.localhost_ref",
       [](auto& c) { SecurityOf(c).mutable_apparmor()->set_localhost_ref("x"); },
       [](auto& c) { SecurityOf(c).mutable_apparmor()->set_localhost_ref("x"); }},
      {"SecurityProfile profile_type",
       "security_context.seccomp.profile_type=Localhost",
       {},
       [](auto& c) {
         SecurityOf(c).mutable_seccomp()->set_profile_type(cri::SecurityProfile::Localhost);
       }},
      {"SecurityProfile profile_type",
       "security_context.apparmor.profile_type=Localhost",
       {},
       [](auto& c) {
         SecurityOf(c).mutable_apparmor()->set_profile_type(cri::SecurityProfile::Localhost);
       }},
      {"RunPodSandboxRequest runtime_handler", "", {}, {}},  // has a test of its own
      {"SELinuxOption user",
       "selinux_options",
       {},
       [](auto& c) { SecurityOf(c).mutable_selinux_options()->set_user("x"); }},
      {"SELinuxOption role",
       "selinux_options",
       {},
       [](auto& c) { SecurityOf(c).mutable_selinux_options()->set_role("x"); }},
      {"SELinuxOption type",
       "selinux_options",
       {},
       [](auto& c) { SecurityOf(c).mutable_selinux_options()->set_type("x"); }},
      {"SELinuxOption level",
       "selinux_options",
       {},
       [](auto& c) { SecurityOf(c).mutable_selinux_options()->set_level("x"); }},
      {"Capability add_ambient_capabilities",
       "capabilities.add_ambient_capabilities",
       {},
       [](auto& c) { SecurityOf(c).mutable_capabilities()->add_add_ambient_capabilities("KILL"); }},
      {"LinuxContainerSecurityContext privileged",
       "security_context.privileged",
       {},
       [](auto& c) { SecurityOf(c).set_privileged(true); }},
      {"LinuxContainerSecurityContext selinux_options",
       "security_context.selinux_options",
       {},
       [](auto& c) { SecurityOf(c).mutable_selinux_options()->set_level("s0"); }},
      {"LinuxContainerSecurityContext run_as_group",
       "security_context.run_as_group",
       {},
       [](auto& c) { SecurityOf(c).mutable_run_as_group()->set_value(5); }},
      {"Device container_path",
       "devices",
       {},
       [](auto& c) { c.add_devices()->set_container_path("/dev/x"); }},
      {"Device host_path",
       "devices",
       {},
       [](auto& c) { c.add_devices()->set_host_path("/dev/x"); }},
      {"Device permissions", "devices", {}, [](auto& c) { c.add_devices()->set_permissions("r"); }},
      {"CDIDevice name",
       "CDI_devices",
       {},
       [](auto& c) { c.add_cdi_devices()->set_name("v/c=d"); }},
      {"ContainerConfig devices", "devices", {}, [](auto& c) { c.add_devices(); }},
      {"ContainerConfig stdin", "stdin", {}, [](auto& c) { c.set_stdin(true); }},
      {"ContainerConfig stdin_once", "stdin", {}, [](auto& c) { c.set_stdin_once(true); }},
      {"ContainerConfig CDI_devices", "CDI_devices", {}, [](auto& c) { c.add_cdi_devices(); }},
  };
}

TEST(Requests, RefuseWhatIsNotServedByItsName) {
  for (const RefusedField& field : RefusedFields()) {
    if (field.pod) ExpectRefused(Parse(field.pod).status(), field.named);
    if (field.container) ExpectRefused(ParseContainer(field.container).status(), field.named);
  }
}

TEST(Requests, RefuseEachFieldThatTheCoverageTableSaysIsRefused) {
  std::set<std::string> tested;
  for (const RefusedField& field : RefusedFields()) tested.insert(field.row);
  std::ifstream table(std::string(BERTH_SOURCE_DIR) + "/api/cri/coverage.tsv");
  size_t refused = 0;
  for (std::string line; std::getline(table, line);) {
    const std::vector<std::string> columns = absl::StrSplit(line, '\t');
    ASSERT_GE(columns.size(), 3u) << line;
    if (columns[2] != "refused" || absl::StrContains(line, "UNIMPLEMENTED")) continue;
    ++refused;
    EXPECT_EQ(tested.count(absl::StrCat(columns[0], " ", columns[1])), 1u) << line;
  }
  EXPECT_GT(refused, 20u);
}

TEST(ParsePodRequest, AcceptsWhatIsSparse) {
  const absl::StatusOr<ParsedPod> pod = ParsePodRequest(MakePod());
  ASSERT_TRUE(pod.ok()) << pod.status();
  EXPECT_EQ(pod->config.name, "web");
  EXPECT_EQ(pod->config.namespaces.network, NamespaceMode::kPod);
  EXPECT_EQ(pod->config.namespaces.ipc, NamespaceMode::kPod);
  EXPECT_EQ(pod->config.namespaces.pid, NamespaceMode::kPod);
  EXPECT_EQ(pod->config.dns, std::nullopt);
}

// Empty messages inside of messages are what some clients send for "nothing".
TEST(Requests, AcceptEmptyMessagesInsideOfMessages) {
  EXPECT_TRUE(Parse([](auto& c) {
                SecurityOf(c).mutable_selinux_options();
                SecurityOf(c).mutable_seccomp();
                SecurityOf(c).mutable_apparmor();
                SecurityOf(c).mutable_namespace_options();
                c.mutable_dns_config();
                c.mutable_linux()->mutable_resources();
                c.add_port_mappings()->set_container_port(80);
                c.mutable_windows();
              }).ok());
  EXPECT_TRUE(ParseContainer([](auto& c) {
                SecurityOf(c).mutable_selinux_options();
                SecurityOf(c).mutable_seccomp();
                SecurityOf(c).mutable_apparmor();
                SecurityOf(c).mutable_capabilities();
                SecurityOf(c).mutable_namespace_options();
                c.mutable_linux()->mutable_resources();
                c.mutable_windows();
              }).ok());
}

TEST(ParsePodRequest, NeedsANameAndNoOtherHandler) {
  ExpectRefused(ParsePodRequest({}).status(), "metadata.name");
  cri::RunPodSandboxRequest request = MakePod();
  request.set_runtime_handler("kata");
  ExpectRefused(ParsePodRequest(request).status(), "runtime_handler: \"kata\"");
}

TEST(ParseContainerRequest, NeedsANameAndAnImage) {
  ExpectRefused(ParseContainerRequest({}).status(), "metadata.name");
  ExpectRefused(ParseContainer([](auto& c) { c.clear_image(); }).status(), "image.image");
}

TEST(ParsePodRequest, TakesTheNamespacesAskedFor) {
  const absl::StatusOr<ParsedPod> pod = Parse([](auto& c) {
    cri::NamespaceOption& options = *SecurityOf(c).mutable_namespace_options();
    options.set_network(cri::NODE);
    options.set_ipc(cri::NODE);
    options.set_pid(cri::CONTAINER);
    c.set_hostname("h");
    c.set_log_directory("/var/log/pods/x");
    c.mutable_linux()->set_cgroup_parent("/kubepods/pod1");
    c.mutable_dns_config()->add_servers("10.0.0.10");
    c.add_port_mappings()->set_host_port(
        80);  // a pod in the node's network has the node's ports anyway
  });
  ASSERT_TRUE(pod.ok()) << pod.status();
  EXPECT_EQ(pod->config.namespaces.network, NamespaceMode::kNode);
  EXPECT_EQ(pod->config.namespaces.ipc, NamespaceMode::kNode);
  EXPECT_EQ(pod->config.namespaces.pid, NamespaceMode::kContainer);
  EXPECT_EQ(pod->config.namespaces.hostname, "h");
  EXPECT_EQ(pod->config.log_directory, "/var/log/pods/x");
  EXPECT_EQ(pod->config.cgroup_parent, "/kubepods/pod1");
  EXPECT_THAT(pod->config.dns->servers, ElementsAre("10.0.0.10"));
}

// What would forge a line of a file, a log or a terminal.
TEST(ParsePodRequest, RefusesHostileText) {
  for (const std::string& text :
       {std::string("a\nb"), std::string("a\0b", 3), std::string("\x1b[2J"), std::string("\x7f")}) {
    ExpectRefused(Parse([&](auto& c) { c.mutable_metadata()->set_name(text); }).status(),
                  "metadata.name");
    ExpectRefused(Parse([&](auto& c) { c.mutable_metadata()->set_uid(text); }).status(),
                  "metadata.uid");
    ExpectRefused(Parse([&](auto& c) { c.mutable_metadata()->set_namespace_(text); }).status(),
                  "metadata.namespace");
    ExpectRefused(Parse([&](auto& c) { c.set_hostname(text); }).status(), "hostname");
    ExpectRefused(Parse([&](auto& c) { c.set_log_directory("/" + text); }).status(),
                  "log_directory");
    ExpectRefused(Parse([&](auto& c) { c.mutable_dns_config()->add_servers(text); }).status(),
                  "dns_config");
    ExpectRefused(Parse([&](auto& c) { c.mutable_dns_config()->add_searches(text); }).status(),
                  "dns_config");
    ExpectRefused(Parse([&](auto& c) { c.mutable_dns_config()->add_options(text); }).status(),
                  "dns_config");
    ExpectRefused(
        Parse([&](auto& c) { c.mutable_linux()->set_cgroup_parent("/" + text); }).status(),
        "cgroup_parent");
    ExpectRefused(
        Parse([&](auto& c) { (*c.mutable_linux()->mutable_sysctls())["net.a"] = text; }).status(),
        "linux.sysctls");
  }
  const std::string long_text(300, 'x');
  ExpectRefused(Parse([&](auto& c) { c.mutable_metadata()->set_name(long_text); }).status(),
                "metadata.name");
  ExpectRefused(Parse([&](auto& c) { c.set_hostname(std::string(65, 'x')); }).status(), "hostname");
  ExpectRefused(Parse([](auto& c) { c.set_hostname("a/b"); }).status(), "hostname");
}

TEST(ParsePodRequest, RefusesPathsThatLeadElsewhere) {
  for (const char* parent :
       {"relative", "/a/../../b", "/..", "/a/./b", "/system.slice", "/kubepods.slice/pod.slice"}) {
    ExpectRefused(Parse([&](auto& c) { c.mutable_linux()->set_cgroup_parent(parent); }).status(),
                  "cgroup_parent");
  }
  ExpectRefused(Parse([](auto& c) { c.set_log_directory("var/log"); }).status(), "log_directory");
}

TEST(ParsePodRequest, TakesSysctlsOfThePodsOwnNamespacesOnly) {
  for (const char* name : {"net.ipv4.ip_local_port_range", "kernel.shm_rmid_forced",
                           "kernel.msgmax", "kernel.sem", "fs.mqueue.msg_max"}) {
    EXPECT_TRUE(Parse([&](auto& c) { (*c.mutable_linux()->mutable_sysctls())[name] = "1"; }).ok())
        << name;
  }
  for (const char* name : {"kernel.core_pattern", "kernel.panic", "vm.swappiness", "fs.file-max",
                           "", "net", "net.../kernel/core_pattern", "net./../kernel/core_pattern",
                           "netx.a", "user.max_user_namespaces"}) {
    ExpectRefused(Parse([&](auto& c) {
                    (*c.mutable_linux()->mutable_sysctls())[name] = "|/bin/sh";
                  }).status(),
                  "linux.sysctls");
  }
  const auto in_node = [](const char* name, auto set) {
    return Parse([&](auto& c) {
      (*c.mutable_linux()->mutable_sysctls())[name] = "1";
      set(*SecurityOf(c).mutable_namespace_options());
    });
  };
  ExpectRefused(in_node("net.ipv4.ip_forward", [](auto& o) { o.set_network(cri::NODE); }).status(),
                "linux.sysctls");
  ExpectRefused(in_node("kernel.shmmax", [](auto& o) { o.set_ipc(cri::NODE); }).status(),
                "linux.sysctls");
  EXPECT_TRUE(in_node("kernel.shmmax", [](auto& o) { o.set_network(cri::NODE); }).ok());
}

TEST(ParseContainerRequest, TakesWhatWasAskedFor) {
  const absl::StatusOr<ParsedContainer> container = ParseContainer([](auto& c) {
    c.add_command("sh");
    c.add_args("-c");
    c.set_working_dir("/w");
    cri::KeyValue* env = c.add_envs();
    env->set_key("A");
    env->set_value("b=c");
    cri::Mount& mount = AddMount(c);
    mount.set_readonly(true);
    mount.set_selinux_relabel(true);
    c.set_log_path("app/0.log");
    c.set_tty(true);
    auto& security = SecurityOf(c);
    security.mutable_run_as_user()->set_value(0);
    security.mutable_run_as_group()->set_value(7);
    security.add_supplemental_groups(9);
    security.set_supplemental_groups_policy(cri::Strict);
    security.mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
    security.add_masked_paths("/proc/kcore");
    security.mutable_capabilities()->add_add_capabilities("NET_ADMIN");
    security.mutable_namespace_options()->set_pid(cri::NODE);
    cri::LinuxContainerResources& resources = *c.mutable_linux()->mutable_resources();
    resources.set_memory_limit_in_bytes(1 << 20);
    resources.set_memory_swap_limit_in_bytes(2 << 20);
    resources.set_cpu_shares(1);
    resources.set_cpu_quota(-1);
    resources.set_oom_score_adj(1000);
  });
  ASSERT_TRUE(container.ok()) << container.status();
  const ContainerConfig& config = container->config;
  EXPECT_THAT(config.command, ElementsAre("sh"));
  EXPECT_THAT(config.args, ElementsAre("-c"));
  EXPECT_THAT(config.envs, ElementsAre("A=b=c"));
  ASSERT_EQ(config.mounts.size(), 1u);
  EXPECT_TRUE(config.mounts[0].readonly);
  EXPECT_EQ(config.log_path, "app/0.log");
  EXPECT_TRUE(config.tty);
  EXPECT_EQ(config.user.run_as_user, 0) << "root that was asked for is not the same as nothing";
  EXPECT_EQ(config.user.run_as_group, 7);
  EXPECT_THAT(config.user.supplemental_groups, ElementsAre(9));
  EXPECT_TRUE(config.user.strict_groups);
  EXPECT_EQ(config.seccomp, SeccompMode::kRuntimeDefault);
  EXPECT_THAT(config.masked_paths, ElementsAre("/proc/kcore"));
  EXPECT_THAT(config.add_capabilities, ElementsAre("NET_ADMIN"));
  EXPECT_EQ(config.pid, NamespaceMode::kNode);
  EXPECT_EQ(config.limits.memory_bytes, 1 << 20);
  EXPECT_EQ(config.limits.memory_swap_bytes, 2 << 20);
  EXPECT_EQ(config.limits.cpu_shares, 2) << "the kernel's least";
  EXPECT_EQ(config.limits.cpu_quota_us, -1);
  EXPECT_EQ(config.limits.pids, std::nullopt);
  EXPECT_EQ(config.oom_score_adj, 1000);
}

TEST(ParseContainerRequest, IsUnconfinedOnlyWithoutAProfileOrIfItSaysSo) {
  EXPECT_EQ(ParseContainer([](auto&) {})->config.seccomp, SeccompMode::kUnconfined);
  EXPECT_EQ(ParseContainer([](auto& c) {
              SecurityOf(c).mutable_seccomp()->set_profile_type(cri::SecurityProfile::Unconfined);
            })->config.seccomp,
            SeccompMode::kUnconfined);
  EXPECT_EQ(ParseContainer([](auto& c) { SecurityOf(c).mutable_seccomp(); })->config.seccomp,
            SeccompMode::kRuntimeDefault);
}

TEST(ParseContainerRequest, RefusesHostileText) {
  for (const std::string& text :
       {std::string("a\nb"), std::string("a\0b", 3), std::string("\x1b[2J")}) {
    ExpectRefused(ParseContainer([&](auto& c) { c.mutable_metadata()->set_name(text); }).status(),
                  "metadata.name");
    ExpectRefused(ParseContainer([&](auto& c) { c.set_log_path(text); }).status(), "log_path");
    ExpectRefused(
        ParseContainer([&](auto& c) { AddMount(c).set_container_path("/" + text); }).status(),
        "container_path");
    ExpectRefused(ParseContainer([&](auto& c) { AddMount(c).set_host_path("/" + text); }).status(),
                  "host_path");
  }
  for (const char* path : {"../x", "a/../../x", "..", "a/.."}) {
    ExpectRefused(ParseContainer([&](auto& c) { c.set_log_path(path); }).status(), "log_path");
  }
  for (const char* key : {"", "A=B", "="}) {
    ExpectRefused(ParseContainer([&](auto& c) { c.add_envs()->set_key(key); }).status(), "envs");
  }
  for (const char* path : {"", "relative"}) {
    ExpectRefused(ParseContainer([&](auto& c) { AddMount(c).set_host_path(path); }).status(),
                  "host_path");
    ExpectRefused(ParseContainer([&](auto& c) { SecurityOf(c).add_masked_paths(path); }).status(),
                  "masked_paths");
    ExpectRefused(ParseContainer([&](auto& c) { SecurityOf(c).add_readonly_paths(path); }).status(),
                  "readonly_paths");
  }
}

TEST(ParseContainerRequest, RefusesResourcesOutOfRange) {
  const auto with = [](auto set) {
    return ParseContainer([&](auto& c) { set(*c.mutable_linux()->mutable_resources()); }).status();
  };
  ExpectRefused(with([](auto& r) { r.set_memory_limit_in_bytes(-1); }), "memory_limit_in_bytes");
  ExpectRefused(with([](auto& r) { r.set_oom_score_adj(1001); }), "oom_score_adj");
  ExpectRefused(with([](auto& r) { r.set_oom_score_adj(-1001); }), "oom_score_adj");
  EXPECT_TRUE(with([](auto& r) { r.set_oom_score_adj(-1000); }).ok());
}

TEST(ParseContainerRequest, KnowsEverySignalOfTheApi) {
  for (int value = cri::Signal_MIN; value <= cri::Signal_MAX; ++value) {
    if (!cri::Signal_IsValid(value)) continue;
    const absl::StatusOr<ParsedContainer> container =
        ParseContainer([&](auto& c) { c.set_stop_signal(static_cast<cri::Signal>(value)); });
    ASSERT_TRUE(container.ok()) << cri::Signal_Name(static_cast<cri::Signal>(value)) << ": "
                                << container.status();
    EXPECT_EQ(container->config.stop_signal == 0, value == cri::SIGNAL_RUNTIME_DEFAULT);
  }
  ExpectRefused(
      ParseContainer([](auto& c) { c.set_stop_signal(static_cast<cri::Signal>(1000)); }).status(),
      "stop_signal");
}

TEST(Requests, EqualOnesGiveEqualBytesWhateverTheOrderOfMaps) {
  const auto bytes = [](const std::vector<std::string>& keys) {
    return Parse([&](auto& c) {
             for (const std::string& key : keys) (*c.mutable_labels())[key] = key;
           })
        ->bytes;
  };
  EXPECT_EQ(bytes({"a", "b", "c", "d"}), bytes({"d", "c", "b", "a"}));
  EXPECT_NE(bytes({"a"}), bytes({"b"}));
}

TEST(StoredRequestParsers, ReadBackWhatWasStoredAndRefuseDamage) {
  const RequestParsers parsers = StoredRequestParsers();
  const absl::StatusOr<ParsedPod> pod = parsers.pod(ParsePodRequest(MakePod())->bytes);
  ASSERT_TRUE(pod.ok()) << pod.status();
  EXPECT_EQ(pod->config.name, "web");
  const absl::StatusOr<ParsedContainer> container =
      parsers.container(ParseContainerRequest(MakeContainer())->bytes);
  ASSERT_TRUE(container.ok()) << container.status();
  EXPECT_EQ(container->config.image, "busybox");
  EXPECT_EQ(parsers.pod("\xff\xff\xff").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(parsers.container("\xff\xff\xff").status().code(), absl::StatusCode::kDataLoss);
}

TEST(ParseContainerRequest, StoresNoSecondCopyOfThePodsConfiguration) {
  cri::CreateContainerRequest request = MakeContainer();
  request.mutable_sandbox_config()->mutable_metadata()->set_name("web");
  EXPECT_EQ(ParseContainerRequest(request)->bytes, ParseContainerRequest(MakeContainer())->bytes);
}

TEST(ParseAuth, TakesPartsAsTheyAre) {
  cri::AuthConfig auth;
  auth.set_username("u");
  auth.set_password("p:w");
  auth.set_auth("bm90OnVzZWQ=");
  auth.set_identity_token("i");
  auth.set_registry_token("r");
  auth.set_server_address("s");
  const RegistryAuth parsed = ParseAuth(auth);
  EXPECT_EQ(parsed.username, "u");
  EXPECT_EQ(parsed.password, "p:w");
  EXPECT_EQ(parsed.identity_token, "i");
  EXPECT_EQ(parsed.registry_token, "r");
  EXPECT_EQ(parsed.server_address, "s");
}

TEST(ParseAuth, DecodesTheCombinedForm) {
  const struct {
    std::string decoded, username, password;
  } cases[] = {
      {"u:p", "u", "p"}, {"u:p:q", "u", "p:q"},
      {"u:", "u", ""},   {":p", "", "p"},
      {"u", "u", ""},    {std::string("u:p\0\0", 5), "u", "p"}};  // some clients pad with NULs
  for (const auto& each : cases) {
    cri::AuthConfig auth;
    auth.set_auth(absl::Base64Escape(each.decoded));
    EXPECT_EQ(ParseAuth(auth).username, each.username);
    EXPECT_EQ(ParseAuth(auth).password, each.password);
  }
  cri::AuthConfig broken;
  broken.set_auth("%%%");
  EXPECT_EQ(ParseAuth(broken).username, "");
}

}  // namespace
}  // namespace berth
