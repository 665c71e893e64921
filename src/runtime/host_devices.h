// Device nodes of the host: what the paths of a request are, and how a container gets them. The
// paths are walked by a disposable helper process with a deadline, as those of volumes.h: one on a
// dead NFS or FUSE file system blocks that helper, never the daemon.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/kernel/cgroup.h"
#include "src/runtime/spec.h"

namespace berth {

struct HostDevice {
  size_t request = 0;    // index of the path that was asked for
  std::string path;      // absolute, without symlinks
  std::string relative;  // below the directory that was asked for; "" when that is the device
  char type = 'c';       // 'c' or 'b'
  uint32_t major = 0, minor = 0;
  mode_t mode = 0666;  // permission bits
  uid_t uid = 0;
  gid_t gid = 0;
};

// What `paths` (absolute) are, in their order. A directory stands for every device node below it,
// sorted by path, without pts, shm, fd, mqueue, .lxc, .lxd-mounts and .udev, the file "console",
// and symbolic links; it may have none. InvalidArgument names a path that is neither, NotFound one
// that does not exist, DeadlineExceeded one that hangs. `monitor` is the berth-monitor executable.
absl::StatusOr<std::vector<HostDevice>> DescribeHostDevices(int monitor,
                                                            const std::vector<std::string>& paths,
                                                            absl::Duration timeout);

// What a privileged container gets: all below /dev by the rules above, without /dev/ptmx (every
// container has its own). `relative` is below /dev.
absl::StatusOr<std::vector<HostDevice>> PrivilegedDevices(int monitor, absl::Duration timeout);

// Permissions of a device ("mrw") in the order "rwm", each once. InvalidArgument: others, or none.
absl::StatusOr<std::string> ParseDeviceAccess(absl::string_view access);

// The node at `container_path`, or below it if the request was a directory. With a user namespace
// it is a bind of the host's node (`source`): mknod(2) is not to be had there.
DeviceSpec DeviceSpecOf(const HostDevice& device, absl::string_view container_path,
                        bool user_namespace);

// Access to the device itself, whatever its path is. `access` as ParseDeviceAccess gives it.
DeviceRule DeviceRuleOf(const HostDevice& device, absl::string_view access);

// Adds `device`; one that has the same path makes way for it.
void PutDevice(DeviceSpec device, std::vector<DeviceSpec>* devices);

}  // namespace berth
