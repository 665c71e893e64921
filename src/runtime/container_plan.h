// The planner: what a container or an exec is to be, as values, becomes the launch plan that a
// monitor executes. Pure: no clock, no files, no kernel.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "src/runtime/launch_plan.h"
#include "src/runtime/spec.h"

namespace berth {

// What a plan depends on of the node it runs on.
struct NodeFacts {
  bool overlay_by_fsopen = true;  // kernel >= 6.8: lowerdir+ (wire::kOverlayByFsopen)
  bool idmapped_layers = true;    // kernel >= 5.19: overlays of id-mapped layers
  bool cgroup_v2 = false;
  bool unified = false;                     // v1 with a cgroup2 mount beside it
  std::string unified_options;              // of the node's cgroup2, one a line
  std::vector<std::string> v1_hierarchies;  // mount options of each: "cpu,cpuacct", "name=systemd"
  std::string data_dir;                     // as the host has it; "/data" in the node's namespace
};

struct ContainerSpec {
  // The root: an overlay of these, or an existing directory of an OCI bundle.
  std::vector<std::string> layers;  // lowest first, relative to the data directory
  std::string upper, work;          // likewise
  std::string rootfs_path;          // absolute; with it there are no layers
  Propagation root_propagation = Propagation::kPrivate;
  std::string mount_label;  // SELinux context of the root and of the mounts made for it; ""

  std::string pod_dir;  // relative to the data directory: holds hosts, hostname, resolv.conf
  std::vector<std::string> args, env;
  std::string cwd = "/";
  ProcessIdentity identity;
  bool terminal = false;
  bool stdin_open = false;  // a pipe that the monitor keeps; else /dev/null
  bool readonly_rootfs = false;
  std::vector<std::string> masked_paths, readonly_paths;
  std::vector<MountSpec> mounts;         // all of them, in order
  std::vector<DeviceSpec> devices;       // all of them, the usual ones included
  std::vector<std::string> directories;  // made in the root where absent, 0755
  ContainerNamespaces namespaces;
  Hooks hooks;
  // What createContainer and startContainer hooks read: OCI state JSON with "%PID%" for the pid.
  std::string creating_state, created_state;
  std::optional<HostView> host_view;  // needed with createContainer hooks
  // OCI bundles only: a container of a pod has the pod's.
  std::string hostname, domainname;
  std::map<std::string, std::string> sysctls;
};

// What the descriptors of a start message are, in this order. Each is there as often as it says.
struct PlanFds {
  int cgroup_tasks = 0;  // v1 `tasks` files
  int volumes = 0;       // detached trees: MountSpec::fd_index and DeviceSpec::fd_index
  bool user_namespace = false;
  bool host_mounts = false;  // the host's mount namespace, for HostView
  // Behind the volumes, and counted with them: the container's cgroups, one tree for each of
  // NodeFacts::v1_hierarchies. Where they are, the first one's index among the volumes.
  int first_cgroup_view = -1;
  // Neither `tasks` files nor views of cgroups are among them: they come while the plan is carried
  // out (kAwaitCgroups), views where the cgroup namespace is the container's own.
  bool late_cgroups = false;
};

LaunchPlan BuildContainerPlan(const ContainerSpec& spec, const NodeFacts& node, const PlanFds& fds);

// A stream that is not wanted is /dev/null; with a terminal there are no others.
struct ExecStreams {
  bool input = false, output = true, error_output = true;
  bool terminal = false;
  uint16_t rows = 0, columns = 0;  // of the terminal; 0: not known
};

struct ExecSpec {
  std::vector<std::string> args, env;
  std::string cwd = "/";
  ProcessIdentity identity;
  bool user_namespace = false;  // the container is in the pod's
  ExecStreams streams;
};

// The plan's descriptors are those of the wanted streams: stdin, stdout, stderr. The monitor knows
// the container's cgroups.
LaunchPlan BuildExecPlan(const ExecSpec& spec);

struct PodSpec {
  NamespaceMode network = NamespaceMode::kPod;
  NamespaceMode ipc = NamespaceMode::kPod;
  NamespaceMode pid = NamespaceMode::kContainer;
  std::string hostname;                        // "" keeps the node's
  std::map<std::string, std::string> sysctls;  // dotted names, of the pod's own namespaces only
  UserNamespace user;
};

// What the plans of most pods begin with: mounts and IPC of their own, and /dev/shm.
LaunchPlan BuildCommonPodPlan();
bool BeginsWithCommonPlan(const PodSpec& spec);

// What the pod's monitor does to itself: namespaces, host name, /dev/shm. With ipc kNode,
// `host_shm_fd` is the index of a detached bind of the node's /dev/shm. `network_fd` is that of a
// network namespace that was made for the pod, with kPodNetworkSettings; -1 for one that the
// monitor makes. It belongs to the node's user namespace: a pod with one of its own cannot be given
// it.
LaunchPlan BuildPodPlan(const PodSpec& spec, int host_shm_fd, int network_fd = -1);

// A runtime with the command line of runc(8), which a RuntimeClass names.
struct OciRuntime {
  std::string path;  // absolute
  std::string root;  // its --root
  bool systemd_cgroup = false;
};

// The runtime's `create` for a bundle whose config.json is written, in a private copy of the
// host's mount namespace where the container's root and /dev/shm are attached below the bundle
// (HostView). Descriptors as PlanFds says.
LaunchPlan BuildOciCreatePlan(const ContainerSpec& spec, const NodeFacts& node, const PlanFds& fds,
                              const OciRuntime& runtime, const std::string& container_id);
// Any other command of it in the host's mount namespace: descriptors are the host's mount
// namespace, then those of the wanted streams (no terminal).
LaunchPlan BuildOciCommandPlan(const OciRuntime& runtime, const std::vector<std::string>& command,
                               const ExecStreams& streams = {});

}  // namespace berth
