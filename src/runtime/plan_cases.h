// For tests: one container for each field of the CRI that shows in a plan or in a config.json,
// named after the field. Their goldens are in testdata/plans and testdata/oci.
#pragma once

#include <linux/mount.h>
#include <linux/sched.h>
#include <sys/resource.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "src/runtime/container_plan.h"
#include "src/runtime/oci_spec.h"
#include "src/runtime/standard_mounts.h"

namespace berth {

struct PlanCase {
  std::string name;
  ContainerSpec spec;
  PlanFds fds;
  OciContext oci;
};

inline ContainerSpec PlainSpec(const StandardMountOptions& options = {.pod_dir = "pods/p"},
                               std::vector<MountSpec> requested = {}) {
  const uint64_t caps = 0x21;  // CAP_CHOWN, CAP_KILL
  ContainerSpec spec;
  spec.layers = {"layers/1", "layers/2"};
  spec.upper = "containers/c/upper";
  spec.work = "containers/c/work";
  spec.pod_dir = options.pod_dir;
  spec.args = {"sleep", "9"};
  spec.env = {"PATH=/bin"};
  spec.cwd = "/srv";
  spec.identity.caps = {.bounding = caps, .permitted = caps, .effective = caps};
  spec.mounts = MergeMounts(StandardMounts(options), std::move(requested));
  spec.devices = StandardDevices(options.user_namespace);
  return spec;
}

inline MountSpec Volume(std::string target, int fd_index) {
  return {.kind = MountSpec::Kind::kBind,
          .target = std::move(target),
          .source = "/host/volume",
          .fd_index = fd_index};
}

inline ContainerSpec WithMounts(std::vector<MountSpec> requested) {
  return PlainSpec({.pod_dir = "pods/p"}, std::move(requested));
}

inline ContainerSpec UserNamespaceSpec(std::vector<MountSpec> requested = {},
                                       bool host_network = false) {
  ContainerSpec spec =
      PlainSpec({.user_namespace = true, .host_network = host_network, .pod_dir = "pods/p"},
                std::move(requested));
  spec.namespaces.user = {.uids = {{.host_id = 65536, .length = 65536}},
                          .gids = {{.host_id = 65536, .length = 65536}}};
  return spec;
}

inline std::vector<PlanCase> MountCases() {
  std::vector<PlanCase> cases;
  const auto add = [&](const char* name, MountSpec mount) {
    cases.push_back({.name = name, .spec = WithMounts({std::move(mount)}), .fds = {.volumes = 1}});
  };
  add("mounts", Volume("/v", 0));
  MountSpec mount = Volume("/v", 0);
  mount.attributes = MOUNT_ATTR_RDONLY;
  add("mounts_readonly", mount);
  mount.recursive_attributes = true;
  add("mounts_recursive_read_only", mount);
  mount = Volume("/v", 0);
  mount.propagation = Propagation::kSlave;
  add("mounts_propagation_host_to_container", mount);
  mount.propagation = Propagation::kShared;
  add("mounts_propagation_bidirectional", mount);
  mount = Volume("/v", 0);
  mount.attributes = MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID;
  add("mounts_mount_options", mount);
  mount = Volume("/etc/app.conf", 0);
  mount.is_directory = false;
  add("mounts_of_a_file", mount);
  mount = Volume("/proc/cpuinfo", 0);
  mount.is_directory = false;
  mount.over_kernel_fs = true;
  add("mounts_over_proc", mount);
  add("mounts_over_dev", Volume("/dev", 0));
  add("mounts_over_sys", Volume("/sys", 0));
  add("mounts_over_the_pods_file", Volume("/etc/hosts", 0));
  add("mounts_image",
      {.kind = MountSpec::Kind::kImage, .target = "/model", .layers = {"layers/8", "layers/9"}});
  add("mounts_image_sub_path", {.kind = MountSpec::Kind::kImage,
                                .target = "/model",
                                .layers = {"layers/9"},
                                .sub_path = "share/data"});
  add("mounts_tmpfs", {.target = "/scratch",
                       .type = "tmpfs",
                       .options = {"size=4k", "mode=700"},
                       .attributes = MOUNT_ATTR_NODEV});
  cases.push_back({.name = "mounts_nested",
                   .spec = WithMounts({Volume("/a/b/c", 0), Volume("/b", 1), Volume("/a", 2)}),
                   .fds = {.volumes = 3}});
  return cases;
}

inline std::vector<PlanCase> IdentityCases() {
  std::vector<PlanCase> cases;
  const auto add = [&](const char* name, auto change) {
    PlanCase one{.name = name, .spec = PlainSpec()};
    change(one.spec.identity);
    cases.push_back(std::move(one));
  };
  const std::string filter(16, '\0');
  add("run_as_user", [](ProcessIdentity& identity) { identity.uid = 1000; });
  add("run_as_group", [](ProcessIdentity& identity) { identity.gid = 100; });
  add("supplemental_groups", [](ProcessIdentity& identity) { identity.groups = {7, 8}; });
  add("add_capabilities", [](ProcessIdentity& identity) {
    identity.caps = {.bounding = 0x1021, .permitted = 0x1021, .effective = 0x1021};
  });
  add("add_ambient_capabilities", [](ProcessIdentity& identity) {
    identity.uid = 1000;
    identity.caps.inheritable = identity.caps.ambient = 0x20;
  });
  add("no_new_privs", [&](ProcessIdentity& identity) {
    identity.no_new_privs = true;
    identity.program.filter = filter;
  });
  add("seccomp", [&](ProcessIdentity& identity) { identity.program.filter = filter; });
  add("seccomp_listener", [&](ProcessIdentity& identity) {
    identity.program = {.filter = filter, .flags = 2, .listener_path = "/run/agent.sock"};
  });
  add("apparmor", [](ProcessIdentity& identity) { identity.apparmor = "berth-default"; });
  add("selinux_options", [](ProcessIdentity& identity) {
    identity.selinux = "system_u:system_r:container_t:s0:c1,c2";
  });
  cases.back().spec.mount_label = "system_u:object_r:container_file_t:s0:c1,c2";
  add("oom_score_adj", [](ProcessIdentity& identity) { identity.oom_score_adj = -997; });
  add("rlimits", [](ProcessIdentity& identity) {
    identity.rlimits = {{.resource = RLIMIT_NOFILE, .soft = 1024, .hard = 4096}};
  });
  add("umask", [](ProcessIdentity& identity) { identity.umask = 077; });
  return cases;
}

inline std::vector<PlanCase> ContainerCases() {
  std::vector<PlanCase> cases;
  const auto add = [&](const char* name, auto change) {
    PlanCase one{.name = name, .spec = PlainSpec()};
    change(one);
    cases.push_back(std::move(one));
  };
  add("default", [](PlanCase&) {});
  add("command_and_args", [](PlanCase& one) { one.spec.args = {"/bin/sh", "-c", "id"}; });
  add("working_dir", [](PlanCase& one) { one.spec.cwd = "/work/here"; });
  add("envs", [](PlanCase& one) { one.spec.env = {"A=1", "SECRET=\xff\n"}; });
  add("tty", [](PlanCase& one) { one.spec.terminal = true; });
  add("stdin", [](PlanCase& one) { one.spec.stdin_open = true; });
  add("masked_paths", [](PlanCase& one) { one.spec.masked_paths = {"/proc/kcore", "/proc/keys"}; });
  add("readonly_paths", [](PlanCase& one) { one.spec.readonly_paths = {"/proc/sys"}; });
  add("image_volumes", [](PlanCase& one) { one.spec.directories = {"/var/lib/db"}; });
  add("cgroup_parent", [](PlanCase& one) {
    one.fds.cgroup_tasks = 2;
    one.oci.cgroups_path = "/kubepods/burstable/pod1/c";
  });
  add("readonly_rootfs", [](PlanCase& one) {
    one.spec = PlainSpec({.readonly_files = true, .pod_dir = "pods/p"});
    one.spec.readonly_rootfs = true;
  });
  add("privileged", [](PlanCase& one) {
    one.spec = PlainSpec({.privileged = true, .pod_dir = "pods/p"});
    one.spec.namespaces.private_cgroup = false;
    one.spec.devices.push_back(
        {.path = "/dev/sda", .type = 'b', .major = 8, .mode = 0660, .gid = 6});
    one.oci.device_rules = {{}};
  });
  add("devices", [](PlanCase& one) {
    one.spec.devices.push_back(
        {.path = "/dev/fuse", .major = 10, .minor = 229, .mode = 0600, .uid = 1, .gid = 2});
    one.oci.device_rules = {{.type = 'c', .major = 10, .minor = 229, .access = "rw"}};
  });
  add("hooks", [](PlanCase& one) {
    const Hook hook{.path = "/opt/hook", .args = {"hook", "x"}, .env = {"A=b"}};
    one.spec.hooks.create_runtime = {hook};
    one.spec.hooks.create_container = {hook};
    one.spec.hooks.start_container = {{.path = "/in/hook", .timeout = absl::Milliseconds(1500)}};
    one.spec.hooks.poststop = {hook};
    one.spec.creating_state = "{}";
    one.spec.created_state = "{}";
    one.spec.host_view = HostView{.bundle = "/run/berth/c"};
    one.fds.host_mounts = true;
  });
  return cases;
}

inline std::vector<PlanCase> UserNamespaceCases() {
  const PlanFds fds = {.cgroup_tasks = 1, .volumes = 1, .user_namespace = true};
  std::vector<PlanCase> cases;
  const auto add = [&](const char* name, ContainerSpec spec) {
    cases.push_back({.name = name, .spec = std::move(spec), .fds = fds});
  };
  MountSpec volume = Volume("/v", 0);
  volume.idmapped = true;
  add("userns_options", UserNamespaceSpec({volume}));
  add("userns_options_with_network_node", UserNamespaceSpec({}, true));
  ContainerSpec spec = UserNamespaceSpec();
  spec.namespaces.own_pid = false;
  spec.identity.oom_score_adj = -5;
  spec.identity.rlimits = {{.resource = RLIMIT_NOFILE, .soft = 10, .hard = 4096}};
  add("userns_options_with_pid_pod", spec);
  add("userns_options_with_image_mount", UserNamespaceSpec({{.kind = MountSpec::Kind::kImage,
                                                             .target = "/model",
                                                             .layers = {"layers/8", "layers/9"},
                                                             .sub_path = "share"}}));
  spec = UserNamespaceSpec();
  spec.devices.push_back(
      {.path = "/dev/fuse", .major = 10, .minor = 229, .source = "/dev/fuse", .fd_index = 0});
  add("userns_options_with_devices", spec);
  spec = UserNamespaceSpec();
  spec.host_view = HostView{.bundle = "/run/berth/c"};
  spec.hooks.create_container = {{.path = "/opt/hook"}};
  add("userns_options_with_hooks", spec);
  cases.back().fds.host_mounts = true;
  return cases;
}

// What only an OCI bundle asks for.
inline std::vector<PlanCase> BundleCases() {
  std::vector<PlanCase> cases;
  ContainerSpec spec;
  spec.rootfs_path = "/bundle/rootfs";
  spec.args = {"true"};
  spec.mounts = {{.target = "/proc", .type = "proc"}};
  cases.push_back({.name = "bundle_root", .spec = spec});
  spec.root_propagation = Propagation::kSlave;
  cases.push_back({.name = "bundle_rootfs_propagation", .spec = spec});
  spec.root_propagation = Propagation::kPrivate;
  spec.namespaces.new_network = spec.namespaces.new_ipc = true;
  spec.namespaces.joined = {{CLONE_NEWUTS, 0}};
  spec.hostname = "box";
  spec.domainname = "example.org";
  spec.sysctls = {{"net.ipv4.ip_forward", "1"}};
  cases.push_back({.name = "bundle_namespaces", .spec = spec, .fds = {.volumes = 1}});
  return cases;
}

inline std::vector<PlanCase> AllPlanCases() {
  std::vector<PlanCase> all;
  for (auto* part : {ContainerCases, IdentityCases, MountCases, UserNamespaceCases, BundleCases}) {
    for (PlanCase& one : part()) all.push_back(std::move(one));
  }
  return all;
}

// A folder of expected texts; BERTH_UPDATE_GOLDEN=1 in the environment writes them anew.
class Goldens {
 public:
  explicit Goldens(const std::string& folder)
      : folder_(std::string(BERTH_SOURCE_DIR) + "/src/runtime/testdata/" + folder) {}

  std::string Expected(const std::string& file, const std::string& actual) const {
    const std::string path = folder_ + "/" + file;
    if (std::getenv("BERTH_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << actual;
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }

  std::set<std::string> Files() const {
    std::set<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder_))
      files.insert(entry.path().filename().string());
    return files;
  }

 private:
  std::string folder_;
};

}  // namespace berth
