// Pods and containers as they were asked for, in plain values: what the server makes of CRI
// messages (server/convert). Zero and empty mean "not asked for".
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "src/image/user.h"
#include "src/kernel/cgroup_limits.h"
#include "src/kernel/lsm.h"
#include "src/kernel/selinux.h"
#include "src/runtime/container_plan.h"
#include "src/sandbox/network/network.h"

namespace berth {

using DnsConfig = PodDns;

using SelinuxLabel = SelinuxRequest;

struct PodConfig {
  std::string name, uid, pod_namespace;
  uint32_t attempt = 0;
  PodSpec namespaces;              // hostname included
  std::string log_directory;       // absolute; "" for no logs
  std::optional<DnsConfig> dns;    // absent: the node's resolv.conf
  std::vector<PortMapping> ports;  // with a host port; empty with the node's network
  std::string cgroup_parent;       // "" for the node's default
  std::string runtime_handler;     // "" for the built-in one
  bool privileged = false;         // may have privileged containers
  SelinuxLabel selinux;
  CgroupLimits overhead, resources;  // inform only: the kubelet limits the pod's cgroup itself
  std::map<std::string, std::string> labels, annotations;
};

struct BindMount {
  std::string host_path, container_path;
  bool readonly = false;
  bool recursive_readonly = false;
  Propagation propagation = Propagation::kPrivate;
  bool noexec = false, nodev = false, nosuid = false;
  bool idmapped = false;  // by the pod's user namespace
  bool selinux_relabel = false;
  // An image instead of a host path; always read-only.
  std::string image, image_sub_path;
};

struct DeviceRequest {
  std::string host_path, container_path;
  std::string access;  // of "rwm"
};

enum class SeccompMode { kUnconfined, kRuntimeDefault, kLocalhost };
using ApparmorMode = ProfileKind;

struct ContainerConfig {
  std::string name;
  uint32_t attempt = 0;
  std::string image;  // id or reference
  std::vector<std::string> command, args;
  std::string working_dir;
  std::vector<std::string> envs;  // "KEY=value", in order; later ones win
  std::vector<BindMount> mounts;
  std::string log_path;  // relative to the pod's log directory
  bool tty = false;
  int stop_signal = 0;  // 0: the image's, else SIGTERM
  UserRequest user;     // image_user is filled in at creation
  std::vector<std::string> add_capabilities, drop_capabilities;
  bool no_new_privs = false;
  bool readonly_rootfs = false;
  SeccompMode seccomp = SeccompMode::kUnconfined;
  std::string seccomp_path;  // kLocalhost: absolute path of a profile on the host
  ApparmorMode apparmor = ApparmorMode::kUnset;
  std::string apparmor_profile;  // kLocalhost
  SelinuxLabel selinux;          // empty: the pod's
  bool privileged = false;
  std::vector<std::string> ambient_capabilities;
  std::vector<DeviceRequest> devices;
  std::vector<std::string> cdi_devices;  // "vendor/class=name", from the field and the annotations
  bool stdin_open = false, stdin_once = false;
  std::string target_id;  // pid kTarget: a container of the pod
  std::map<std::string, std::string> labels, annotations;
  std::vector<std::string> masked_paths, readonly_paths;
  NamespaceMode pid = NamespaceMode::kContainer;
  CgroupLimits limits;
  std::optional<int> oom_score_adj;
};

}  // namespace berth
