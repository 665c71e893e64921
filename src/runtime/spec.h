// What a pod, a container and an exec are to be, as plain values: the planner's input. A CRI
// request, an image configuration and a pod (sandbox/container_spec.h) or an OCI config.json
// (runtime/oci/) become these. Nothing here knows pods, CRI or files.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace berth {

// kTarget: that of another container (its pid namespace only).
enum class NamespaceMode { kPod, kContainer, kNode, kTarget };

// One line of uid_map or gid_map (user_namespaces(7)).
struct IdMapping {
  uint32_t container_id = 0, host_id = 0, length = 0;
};

// Without mappings: the node's user namespace.
struct UserNamespace {
  std::vector<IdMapping> uids, gids;
  bool IsNode() const { return uids.empty() && gids.empty(); }
};

// RLIM_INFINITY is no limit. getrlimit(2)
struct Rlimit {
  int resource = 0;
  uint64_t soft = 0, hard = 0;
};

// A hook of the OCI runtime specification (config.md, "POSIX-platform Hooks").
struct Hook {
  std::string path;               // absolute
  std::vector<std::string> args;  // argv[0] included; empty: the path
  std::vector<std::string> env;   // all that it gets: nothing is inherited
  absl::Duration timeout;         // zero: kHookTimeout
};

inline constexpr absl::Duration kHookTimeout = absl::Seconds(10);

struct Hooks {
  std::vector<Hook> prestart, create_runtime, create_container, start_container, poststart,
      poststop;
};

// Masks: bit n is capability n. capabilities(7)
struct CapabilitySets {
  uint64_t bounding = 0, permitted = 0, effective = 0, inheritable = 0, ambient = 0;
};

// A compiled filter, as seccomp(2) takes it.
struct SeccompProgram {
  std::string filter;  // array of sock_filter; "" unconfined
  uint32_t flags = 0;  // SECCOMP_FILTER_FLAG_*; NEW_LISTENER is added when there is a listener
  std::string listener_path, listener_metadata;  // where the notify descriptor goes; "" nowhere
};

// Who a process runs as, and what it may do: the same for a container's first process and for an
// exec.
struct ProcessIdentity {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
  CapabilitySets caps;
  bool no_new_privs = false;
  SeccompProgram program;
  std::string apparmor;  // profile; "" leaves what there is
  std::string selinux;   // process label; ""
  std::optional<int> oom_score_adj;
  std::optional<mode_t> umask;  // absent: 022
  std::vector<Rlimit> rlimits;
};

enum class Propagation { kPrivate, kSlave, kShared };

// One mount of a container. They are made in the order given.
struct MountSpec {
  enum class Kind {
    kFileSystem,  // a new one of `type`
    kBind,        // of what `fd_index` or `view_path` names
    kCgroup,      // the container's view of the cgroup hierarchies, read-only unless kRdonly is off
    kImage,       // the layers of an image, read-only
  };
  Kind kind = Kind::kFileSystem;
  std::string target;  // absolute, without "." and ".."
  // kFileSystem
  std::string type;                  // "proc", "tmpfs"
  std::vector<std::string> options;  // of the file system: "mode=755", "size=64k"
  // kBind
  std::string source;              // host path, for people and for OCI JSON
  bool source_must_exist = false;  // is not made as a directory
  int fd_index = -1;               // among the volume descriptors: a detached tree
  std::string view_path;  // with fd_index -1: a path in the mount namespace that the plan starts in
  bool of_target = false;  // of what the root has at `target`: writable below a read-only root
  bool is_directory = true;
  // kImage
  std::vector<std::string> layers;  // lowest first, relative to the data directory
  std::string sub_path;             // relative, "" for the root

  uint64_t attributes = 0;            // MOUNT_ATTR_* to set (mount_setattr(2))
  bool recursive_attributes = false;  // also on mounts below (recursive read-only)
  Propagation propagation = Propagation::kPrivate;
  bool idmapped = false;        // by the container's user namespace
  bool relabel = false;         // gets the container's SELinux file label
  bool over_kernel_fs = false;  // may cover a path of procfs or sysfs; others are refused there
  bool optional = false;        // left out where the kernel denies it or does not have it
};

// A device node of a container.
struct DeviceSpec {
  std::string path;  // absolute
  char type = 'c';   // 'c', 'b', 'p' (fifo)
  uint32_t major = 0, minor = 0;
  mode_t mode = 0666;  // permission bits
  uid_t uid = 0;
  gid_t gid = 0;
  // User namespaces cannot mknod(2), they get a bind of the host's node:
  std::string source;     // its host path
  int fd_index = -1;      // its detached tree, among the volume descriptors
  std::string view_path;  // or its path in the mount namespace that the plan starts in
};

struct ContainerNamespaces {
  UserNamespace user;          // the pod's
  bool private_cgroup = true;  // false: privileged containers see the node's hierarchy
  bool own_pid = true;         // false: it is started in the pid namespace of somebody else
  bool new_network = false, new_ipc = false, new_uts = false;  // OCI bundles only
  std::vector<std::pair<int, int>> joined;  // OCI bundles only: CLONE_NEW* type, fd_index
};

struct HostView {
  // Absolute host directory whose "rootfs" the container's root is attached to, in a private copy
  // of the host's mount namespace: what createContainer hooks and external runtimes need.
  std::string bundle;
};

}  // namespace berth
