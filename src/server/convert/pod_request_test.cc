#include "src/server/convert/pod_request.h"

#include "src/server/convert/request_makers.h"

namespace berth {
namespace {

namespace cri = runtime::v1;
using ::testing::ElementsAre;

TEST(ParsePodRequest, AcceptsWhatIsSparse) {
  const absl::StatusOr<ParsedPod> pod = ParsePodRequest(MakePodRequest(), MakePolicy());
  ASSERT_TRUE(pod.ok()) << pod.status();
  EXPECT_EQ(pod->config.name, "web");
  EXPECT_EQ(pod->config.namespaces.network, NamespaceMode::kPod);
  EXPECT_EQ(pod->config.namespaces.ipc, NamespaceMode::kPod);
  EXPECT_EQ(pod->config.namespaces.pid, NamespaceMode::kPod);
  EXPECT_TRUE(pod->config.namespaces.user.IsNode());
  EXPECT_EQ(pod->config.dns, std::nullopt);
  EXPECT_FALSE(pod->config.privileged);
}

// Empty messages inside of messages are what some clients send for "nothing".
TEST(ParsePodRequest, AcceptsEmptyMessagesInsideOfMessages) {
  EXPECT_TRUE(ParsePodWith([](auto& c) {
                SecurityOf(c).mutable_selinux_options();
                SecurityOf(c).mutable_seccomp();
                SecurityOf(c).mutable_apparmor();
                SecurityOf(c).mutable_namespace_options();
                c.mutable_dns_config();
                c.mutable_linux()->mutable_resources();
                c.mutable_linux()->mutable_overhead();
                c.add_port_mappings()->set_container_port(80);
                c.mutable_windows();
              }).ok());
}

TEST(ParsePodRequest, NeedsANameAndAHandlerThatThereIs) {
  ExpectRefused(ParsePodRequest({}, MakePolicy()).status(), "metadata.name");
  cri::RunPodSandboxRequest request = MakePodRequest();
  request.set_runtime_handler("kata");
  ExpectRefused(ParsePodRequest(request, MakePolicy()).status(), "runtime_handler: \"kata\"");
  request.set_runtime_handler("plain");
  EXPECT_EQ(ParsePodRequest(request, MakePolicy())->config.runtime_handler, "plain");
  request.clear_runtime_handler();
  EXPECT_EQ(ParsePodRequest(request, MakePolicy())->config.runtime_handler, "");
}

TEST(ParsePodRequest, TakesTheRestOfWhatWasAskedFor) {
  const absl::StatusOr<ParsedPod> pod = ParsePodWith(
      [](auto& c) {
        c.mutable_metadata()->set_uid("u-1");
        c.mutable_metadata()->set_namespace_("ns");
        c.mutable_metadata()->set_attempt(4);
        (*c.mutable_labels())["app"] = "web";
        (*c.mutable_annotations())["note"] = "two\nlines";
        c.mutable_dns_config()->add_searches("svc.local");
        c.mutable_dns_config()->add_options("ndots:5");
        SecurityOf(c).set_privileged(true);
        SecurityOf(c).mutable_selinux_options()->set_level("s0:c1,c2");
        c.mutable_linux()->mutable_overhead()->set_cpu_quota(1000);
        c.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(4096);
      },
      MakePolicy([](auto& policy) { policy.selinux = true; }));
  ASSERT_TRUE(pod.ok()) << pod.status();
  const PodConfig& config = pod->config;
  EXPECT_EQ(config.uid, "u-1");
  EXPECT_EQ(config.pod_namespace, "ns");
  EXPECT_EQ(config.attempt, 4u);
  EXPECT_EQ(config.labels.at("app"), "web");
  EXPECT_EQ(config.annotations.at("note"), "two\nlines");
  EXPECT_THAT(config.dns->searches, ElementsAre("svc.local"));
  EXPECT_THAT(config.dns->options, ElementsAre("ndots:5"));
  EXPECT_TRUE(config.privileged);
  EXPECT_EQ(config.selinux.level, "s0:c1,c2");
  EXPECT_EQ(config.overhead.cpu_quota_us, 1000);
  EXPECT_EQ(config.resources.memory_bytes, 4096);
}

TEST(ParsePodRequest, TakesTheNamespacesAskedFor) {
  const absl::StatusOr<ParsedPod> pod = ParsePodWith([](auto& c) {
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
       {std::string("a\nb"), std::string("a\0b", 3), std::string("\x1b[2J"), std::string("\x7f"),
        std::string("\xc2\x9b[2J"), std::string("\xc2\x80")}) {
    ExpectRefused(ParsePodWith([&](auto& c) { c.mutable_metadata()->set_name(text); }).status(),
                  "metadata.name");
    ExpectRefused(ParsePodWith([&](auto& c) { c.mutable_metadata()->set_uid(text); }).status(),
                  "metadata.uid");
    ExpectRefused(
        ParsePodWith([&](auto& c) { c.mutable_metadata()->set_namespace_(text); }).status(),
        "metadata.namespace");
    ExpectRefused(ParsePodWith([&](auto& c) { c.set_hostname(text); }).status(), "hostname");
    ExpectRefused(ParsePodWith([&](auto& c) { c.set_log_directory("/" + text); }).status(),
                  "log_directory");
    ExpectRefused(
        ParsePodWith([&](auto& c) { c.mutable_dns_config()->add_servers(text); }).status(),
        "dns_config");
    ExpectRefused(
        ParsePodWith([&](auto& c) { c.mutable_dns_config()->add_searches(text); }).status(),
        "dns_config");
    ExpectRefused(
        ParsePodWith([&](auto& c) { c.mutable_dns_config()->add_options(text); }).status(),
        "dns_config");
    ExpectRefused(
        ParsePodWith([&](auto& c) { c.mutable_linux()->set_cgroup_parent("/" + text); }).status(),
        "cgroup_parent");
    ExpectRefused(ParsePodWith([&](auto& c) {
                    (*c.mutable_linux()->mutable_sysctls())["net.a"] = text;
                  }).status(),
                  "linux.sysctls");
  }
  const std::string long_text(300, 'x');
  ExpectRefused(ParsePodWith([&](auto& c) {
                  c.mutable_linux()->set_cgroup_parent("/" + long_text);
                }).status(),
                "cgroup_parent");
  ExpectRefused(ParsePodWith([&](auto& c) { c.mutable_metadata()->set_name(long_text); }).status(),
                "metadata.name");
  ExpectRefused(ParsePodWith([&](auto& c) { c.set_hostname(std::string(65, 'x')); }).status(),
                "hostname");
  ExpectRefused(ParsePodWith([](auto& c) { c.set_hostname("a/b"); }).status(), "hostname");
}

TEST(ParsePodRequest, TakesACgroupParentInTheFormOfTheDriver) {
  const auto with = [](const char* parent, bool systemd) {
    return ParsePodWith([&](auto& c) { c.mutable_linux()->set_cgroup_parent(parent); },
                        MakePolicy([&](auto& policy) { policy.systemd_cgroups = systemd; }))
        .status();
  };
  for (const char* parent : {"", "/kubepods/burstable/pod1", "/a"})
    EXPECT_TRUE(with(parent, false).ok()) << parent;
  for (const char* parent : {"relative", "/a/../../b", "/..", "/a/./b", "/system.slice",
                             "/kubepods.slice/pod.slice", "/a\nb"})
    ExpectRefused(with(parent, false), "cgroup_parent");
  for (const char* parent : {"", "/kubepods.slice/kubepods-burstable.slice", "system.slice",
                             "/kubepods.slice/kubepods-pod1_2.slice"})
    EXPECT_TRUE(with(parent, true).ok()) << parent;
  for (const char* parent : {"/kubepods/burstable/pod1", "/kubepods.slice/pod1", ".slice",
                             "/-.slice", "a--b.slice", "/../a.slice", "/a b.slice", "/a.slice\n"})
    ExpectRefused(with(parent, true), "cgroup_parent");
}

TEST(ParsePodRequest, TakesAnAbsoluteLogDirectoryOnly) {
  for (const char* directory : {"var/log", "/var/log/../../etc"}) {
    ExpectRefused(ParsePodWith([&](auto& c) { c.set_log_directory(directory); }).status(),
                  "log_directory");
  }
}

TEST(ParsePodRequest, KeepsPortsOfTheHostOnly) {
  const absl::StatusOr<ParsedPod> pod = ParsePodWith([](auto& c) {
    c.add_port_mappings()->set_container_port(80);
    cri::PortMapping& port = *c.add_port_mappings();
    port.set_container_port(53);
    port.set_host_port(5353);
    port.set_protocol(cri::UDP);
    port.set_host_ip("fd00::1");
  });
  ASSERT_TRUE(pod.ok()) << pod.status();
  ASSERT_EQ(pod->config.ports.size(), 1u);
  EXPECT_EQ(pod->config.ports[0].container_port, 53);
  EXPECT_EQ(pod->config.ports[0].host_port, 5353);
  EXPECT_EQ(pod->config.ports[0].protocol, PortProtocol::kUdp);
  EXPECT_EQ(pod->config.ports[0].host_ip, "fd00::1");
}

TEST(ParsePodRequest, RefusesWhatIsNoPortMapping) {
  struct Case {
    int32_t host, container, protocol;
    std::string ip;
    const char* field;
  };
  for (const Case& wrong :
       {Case{65536, 80, 0, "", "port_mappings.host_port"},
        Case{-1, 80, 0, "", "port_mappings.host_port"},
        Case{80, 0, 0, "", "port_mappings.container_port"},
        Case{80, 65536, 0, "", "port_mappings.container_port"},
        Case{80, 80, 7, "", "port_mappings.protocol"},
        Case{80, 80, 0, "1.2.3", "port_mappings.host_ip"},
        Case{80, 80, 0, std::string("1.2.3.4\0x", 9), "port_mappings.host_ip"}}) {
    ExpectRefused(ParsePodWith([&](auto& c) {
                    cri::PortMapping& port = *c.add_port_mappings();
                    port.set_host_port(wrong.host);
                    port.set_container_port(wrong.container);
                    port.set_protocol(static_cast<cri::Protocol>(wrong.protocol));
                    port.set_host_ip(wrong.ip);
                  }).status(),
                  wrong.field);
  }
}

TEST(ParsePodRequest, RefusesABandwidthThatIsNone) {
  const absl::Status refused = ParsePodWith([](auto& c) {
                                 (*c.mutable_annotations())["kubernetes.io/ingress-bandwidth"] =
                                     "much";
                               }).status();
  EXPECT_TRUE(absl::IsInvalidArgument(refused));
}

TEST(ParsePodRequest, RefusesAGroupWithoutAUser) {
  ExpectRefused(
      ParsePodWith([](auto& c) { SecurityOf(c).mutable_run_as_group()->set_value(5); }).status(),
      "security_context.run_as_group");
  EXPECT_TRUE(ParsePodWith([](auto& c) {
                SecurityOf(c).mutable_run_as_group()->set_value(5);
                SecurityOf(c).mutable_run_as_user()->set_value(5);
              }).ok());
}

TEST(ParsePodRequest, TakesSysctlsOfThePodsOwnNamespacesOnly) {
  for (const char* name : {"net.ipv4.ip_local_port_range", "kernel.shm_rmid_forced",
                           "kernel.msgmax", "kernel.sem", "fs.mqueue.msg_max"}) {
    EXPECT_TRUE(
        ParsePodWith([&](auto& c) { (*c.mutable_linux()->mutable_sysctls())[name] = "1"; }).ok())
        << name;
  }
  for (const char* name : {"kernel.core_pattern", "kernel.panic", "vm.swappiness", "fs.file-max",
                           "", "net", "net.../kernel/core_pattern", "net./../kernel/core_pattern",
                           "netx.a", "user.max_user_namespaces"}) {
    ExpectRefused(ParsePodWith([&](auto& c) {
                    (*c.mutable_linux()->mutable_sysctls())[name] = "|/bin/sh";
                  }).status(),
                  "linux.sysctls");
  }
  const auto in_node = [](const char* name, auto set) {
    return ParsePodWith([&](auto& c) {
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

}  // namespace
}  // namespace berth
