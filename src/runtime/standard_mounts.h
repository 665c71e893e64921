// The mounts and device nodes that every container of a pod has, whatever was asked for, and how a
// request's own mounts go together with them. Pure values: the planner (container_plan.h) and the
// OCI JSON (oci_spec.h) are made of the result. Default filesystems: OCI runtime specification
// 1.1, config-linux.md, "Default Filesystems" and "Default Devices".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/runtime/spec.h"

namespace berth {

struct StandardMountOptions {
  bool privileged = false;       // sysfs and the cgroup view are writable
  bool user_namespace = false;   // the pod has one of its own
  bool tty_group_mapped = true;  // gid 5 means something in it (MapsId); devpts takes no other
  bool host_network = false;     // with a user namespace: sysfs cannot be a new mount
  bool readonly_files = false;   // hosts, hostname and resolv.conf; as the root is
  std::string pod_dir;           // relative to the data directory: holds those three
};

// proc, /dev with pts, mqueue and shm, sysfs, the cgroup view and the pod's files: in this order.
// What is bound has a `view_path` of the node's mount namespace, no `source`.
std::vector<MountSpec> StandardMounts(const StandardMountOptions& options);

// null, zero, full, random, urandom and tty, for everybody. In a user namespace they are binds of
// the node namespace's own (`view_path`).
std::vector<DeviceSpec> StandardDevices(bool user_namespace);

// A requested mount replaces the standard one of the same target; one on /dev or on /sys replaces
// all standard ones below, too. The result is ordered by depth, so that a mount comes before those
// inside of it; where that is equal, standard ones come first and the rest as it was given.
std::vector<MountSpec> MergeMounts(std::vector<MountSpec> standard,
                                   std::vector<MountSpec> requested);

bool MapsId(const std::vector<IdMapping>& mappings, uint32_t container_id);

// Is `path` `directory` or below it? Both are absolute and clean.
bool IsAtOrBelow(absl::string_view path, absl::string_view directory);

}  // namespace berth
