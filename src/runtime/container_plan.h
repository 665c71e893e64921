// The planner: what a container or an exec is to be, as values, becomes the launch plan that a
// monitor executes. Pure: no clock, no files, no kernel.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/runtime/launch_plan.h"

namespace berth {

// What a plan depends on of the node it runs on.
struct NodeFacts {
  bool overlay_by_fsopen = true;  // kernel >= 6.8: lowerdir+ (wire::kOverlayByFsopen)
  bool cgroup_v2 = false;
  bool unified = false;                     // v1 with a cgroup2 mount beside it
  std::vector<std::string> v1_hierarchies;  // mount options of each: "cpu,cpuacct", "name=systemd"
};

enum class NamespaceMode { kPod, kContainer, kNode };

// Who a process runs as, and what it may do: the same for a container's first process and for an
// exec.
struct ProcessIdentity {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
  uint64_t capabilities = 0;  // bounding, permitted, effective
  bool no_new_privs = false;
  std::string seccomp;  // BPF; "" unconfined
  std::optional<int> oom_score_adj;
};

struct VolumeMount {
  std::string target;
  int fd_index = 0;  // among the volume descriptors
  bool readonly = false;
  bool is_directory = true;
};

struct ContainerSpec {
  std::vector<std::string> layers;  // lowest first, relative to the data directory
  std::string upper, work;          // likewise
  std::string pod_dir;              // likewise: holds hosts, hostname, resolv.conf
  std::vector<std::string> args, env;
  std::string cwd = "/";
  ProcessIdentity identity;
  bool terminal = false;
  bool readonly_rootfs = false;
  std::vector<std::string> masked_paths, readonly_paths;
  std::vector<VolumeMount> volumes;
};

// How many descriptors of each kind come with the start message, in this order.
struct PlanFds {
  int cgroup_tasks = 0;
  int volumes = 0;
};

LaunchPlan BuildContainerPlan(const ContainerSpec& spec, const NodeFacts& node, const PlanFds& fds);

struct ExecSpec {
  std::vector<std::string> args, env;
  std::string cwd = "/";
  ProcessIdentity identity;
};

// stdin is /dev/null; the descriptors behind the cgroup's are stdout and stderr.
LaunchPlan BuildExecPlan(const ExecSpec& spec, int cgroup_tasks);

struct PodSpec {
  NamespaceMode network = NamespaceMode::kPod;
  NamespaceMode ipc = NamespaceMode::kPod;
  NamespaceMode pid = NamespaceMode::kContainer;
  std::string hostname;                        // "" keeps the node's
  std::map<std::string, std::string> sysctls;  // dotted names, of the pod's own namespaces only
};

// What the pod's monitor does to itself: namespaces, host name, /dev/shm. With ipc kNode,
// `host_shm_fd` is the index of a detached bind of the node's /dev/shm.
LaunchPlan BuildPodPlan(const PodSpec& spec, int host_shm_fd);

}  // namespace berth
