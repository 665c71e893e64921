#include "src/cli/node_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace berth::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// A node as a tree of files, on which all is well.
class NodeChecksTest : public testing::Test {
 protected:
  void SetUp() override {
    char root[] = "/tmp/berth-doctor-XXXXXX";
    ASSERT_NE(mkdtemp(root), nullptr);
    facts_ = {.root = root, .socket = "/run/berth/berth.sock", .cgroup_driver = "cgroupfs"};
    Put("/proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
    Put("/proc/filesystems",
        "nodev\tproc\nnodev\ttmpfs\nnodev\tdevpts\nnodev\tmqueue\nnodev\toverlay\n");
    for (const char* name : {"net", "ipc", "pid", "uts", "mnt", "cgroup"})
      Put(std::string("/proc/self/ns/") + name, "");
    Put("/proc/sys/kernel/seccomp/actions_avail", "kill errno allow");
    Put("/proc/sys/user/max_user_namespaces", "15000\n");
    Put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
    Put("/proc/pressure/cpu", "");
    Put("/proc/sys/fs/inotify/max_user_instances", "8192\n");
    Put("/proc/sys/net/ipv4/ip_forward", "1\n");
    Put("/var/lib/kubelet/config.yaml",
        "cgroupDriver: cgroupfs\ncontainerRuntimeEndpoint: \"unix:///run/berth/berth.sock\"\n");
    Put("/etc/crictl.yaml", "runtime-endpoint: unix:///run/berth/berth.sock\n");
  }
  void TearDown() override { fs::remove_all(facts_.root); }

  void Put(const std::string& path, const std::string& text) {
    const fs::path file = facts_.root + path;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void PutProgram(const std::string& path) {
    Put(path, "");
    fs::permissions(facts_.root + path, fs::perms(0755));
  }
  void Remove(const std::string& path) { fs::remove_all(facts_.root + path); }
  Finding Look(const std::string& name) {
    for (const NodeCheck& check : NodeChecks()) {
      if (check.name == name) return check.look(facts_);
    }
    ADD_FAILURE() << "no check " << name;
    return {};
  }
  void Expect(const std::string& name, Health health, const std::string& part) {
    const Finding finding = Look(name);
    EXPECT_EQ(finding.health, health) << name << ": " << finding.found;
    EXPECT_THAT(finding.found + " | " + finding.advice, HasSubstr(part));
    EXPECT_EQ(finding.advice.empty(), health == Health::kGood || health == Health::kUnknown);
  }

  NodeFacts facts_;
};

TEST_F(NodeChecksTest, AllIsWell) {
  for (const char* name : {"kernel", "kernel features", "cgroups", "pressure", "limits",
                           "forwarding", "CNI", "registries", "kubelet", "crictl"})
    Expect(name, Health::kGood, "");
}

TEST_F(NodeChecksTest, Kernel) {
  Put("/proc/sys/kernel/osrelease", "5.10.0\n");
  Expect("kernel", Health::kBad, "5.15");
  Put("/proc/sys/kernel/osrelease", "5.15.0\n");
  Expect("kernel", Health::kWarning, "5.19");
  Put("/proc/filesystems", "nodev\tproc\n");
  Expect("kernel features", Health::kBad, "overlay");
}

TEST_F(NodeChecksTest, NoUserNamespaces) {
  Put("/proc/sys/user/max_user_namespaces", "0\n");
  Expect("kernel features", Health::kWarning, "user.max_user_namespaces");
}

TEST_F(NodeChecksTest, Cgroups) {
  Put("/run/systemd/system/x", "");
  Expect("cgroups", Health::kWarning, "cgroup.driver = \"systemd\"");
  facts_.cgroup_driver = "systemd";
  Expect("cgroups", Health::kGood, "v2");
  Remove("/run/systemd");
  Expect("cgroups", Health::kBad, "systemd does not run");
  facts_.cgroup_driver = "cgroupfs";
  Put("/sys/fs/cgroup/cgroup.controllers", "cpu io pids\n");
  Expect("cgroups", Health::kBad, "memory");
  Remove("/sys/fs/cgroup");
  for (const char* name : {"cpu", "memory", "pids", "unified"})
    Put(std::string("/sys/fs/cgroup/") + name + "/cgroup.procs", "");
  Expect("cgroups", Health::kWarning, "hybrid");
  Expect("kubelet", Health::kWarning, "failCgroupV1");
  Remove("/sys/fs/cgroup");
  Expect("cgroups", Health::kBad, "none is mounted");
}

TEST_F(NodeChecksTest, LimitsAndPressure) {
  Put("/proc/sys/fs/inotify/max_user_instances", "128\n");
  Expect("limits", Health::kWarning, "sysctl -w fs.inotify.max_user_instances=512");
  Remove("/proc/pressure");
  Expect("pressure", Health::kWarning, "psi=1");
  Put("/proc/sys/net/ipv4/ip_forward", "0\n");
  Expect("forwarding", Health::kWarning, "ip_forward=1");
}

TEST_F(NodeChecksTest, Cni) {
  Put("/etc/cni/net.d/10-flannel.conflist",
      R"({"name": "a", "plugins": [{"type": "flannel"}, {"type": "portmap"}]})");
  Expect("CNI", Health::kBad, "no plugin flannel, portmap in /opt/cni/bin");
  PutProgram("/opt/cni/bin/flannel");
  Expect("CNI", Health::kBad, "no plugin portmap in");
  PutProgram("/usr/lib/cni/portmap");
  Expect("CNI", Health::kGood, "10-flannel.conflist: flannel, portmap");
  Put("/etc/cni/net.d/05-broken.conf", "{");
  Expect("CNI", Health::kGood, "10-flannel.conflist");
  Remove("/etc/cni/net.d/10-flannel.conflist");
  Expect("CNI", Health::kBad, "05-broken.conf names no plugin");
}

TEST_F(NodeChecksTest, CniAsBerthdIsConfigured) {
  facts_.network_mode = "cni";
  Expect("CNI", Health::kBad, "no configuration in /etc/cni/net.d");
  Put("/srv/net.d/1.conf", R"({"name": "a", "type": "ptp"})");
  facts_.cni_conf_dir = "/srv/net.d";
  facts_.cni_bin_dirs = {"/srv/bin"};
  Expect("CNI", Health::kBad, "no plugin ptp in /srv/bin");
  PutProgram("/srv/bin/ptp");
  Expect("CNI", Health::kGood, "/srv/net.d/1.conf: ptp");
  Remove("/srv");
  facts_.network_mode = "builtin";
  Expect("CNI", Health::kGood, "built-in bridge");
}

TEST_F(NodeChecksTest, Registries) {
  Put("/etc/containerd/certs.d/docker.io/hosts.toml",
      "server = \"https://docker.io\"\n[host.\"https://mirror\"]\nca = \"mirror.crt\"\n");
  Expect("registries", Health::kBad, "mirror.crt is not there");
  Put("/etc/containerd/certs.d/docker.io/mirror.crt", "");
  Expect("registries", Health::kGood, "docker.io");
  Put("/etc/berth/certs.d/broken/hosts.toml", "server = \n");
  Expect("registries", Health::kBad, "line 1");
}

TEST_F(NodeChecksTest, KubeletAndCrictl) {
  Put("/var/lib/kubelet/config.yaml",
      "cgroupDriver: systemd\ncontainerRuntimeEndpoint: unix:///run/berth/berth.sock\n");
  Expect("kubelet", Health::kBad, "both must have the same");
  Put("/var/lib/kubelet/config.yaml",
      "containerRuntimeEndpoint: unix:///run/containerd/containerd.sock\n");
  Expect("kubelet", Health::kBad, "unix:///run/berth/berth.sock");
  Put("/var/lib/kubelet/kubeadm-flags.env",
      "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix:///run/berth/berth.sock\"");
  Expect("kubelet", Health::kGood, "uses this");
  Remove("/var/lib/kubelet");
  Expect("kubelet", Health::kUnknown, "no kubelet");
  Put("/etc/crictl.yaml", "runtime-endpoint: unix:///x\n");
  Expect("crictl", Health::kWarning, "unix:///x");
  Remove("/etc/crictl.yaml");
  Expect("crictl", Health::kWarning, "runtime-endpoint: unix:///run/berth/berth.sock");
}

TEST_F(NodeChecksTest, SocketOfEverybody) {
  Expect("socket", Health::kBad, "systemctl start berthd");
  Put("/run/berth/berth.sock", "");
  fs::permissions(facts_.root + facts_.socket, fs::perms(0660));
  Expect("socket", Health::kGood, "0660");
  fs::permissions(facts_.root + facts_.socket, fs::perms(0666));
  Expect("socket", Health::kBad, "chmod");
}

}  // namespace
}  // namespace berth::cli
