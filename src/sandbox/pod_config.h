// Pods and containers as they were asked for, in plain values: what the server makes of CRI
// messages.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/image/user.h"
#include "src/kernel/cgroup.h"
#include "src/runtime/container_plan.h"

namespace berth {

struct DnsConfig {
  std::vector<std::string> servers, searches, options;
};

struct PodConfig {
  std::string name, uid, pod_namespace;
  uint32_t attempt = 0;
  PodSpec namespaces;            // hostname included
  std::string log_directory;     // absolute; "" for no logs
  std::optional<DnsConfig> dns;  // absent: the node's resolv.conf
  std::string cgroup_parent;     // "" for the node's default
};

struct BindMount {
  std::string host_path, container_path;
  bool readonly = false;
};

enum class SeccompMode { kUnconfined, kRuntimeDefault };

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
  std::vector<std::string> masked_paths, readonly_paths;
  NamespaceMode pid = NamespaceMode::kContainer;
  CgroupLimits limits;
  std::optional<int> oom_score_adj;
};

}  // namespace berth
