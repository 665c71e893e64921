// Container Device Interface: vendors describe in JSON or YAML files what a container needs for a
// device, and a container asks for "vendor/class=name". Specification:
// https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md, up to version 1.1.0.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "src/kernel/cgroup.h"
#include "src/runtime/container_plan.h"
#include "src/runtime/host_devices.h"
#include "src/runtime/spec.h"

namespace berth {

struct CdiDeviceNode {
  std::string path;       // in the container
  std::string host_path;  // "": the same
  char type = 0;          // 'c', 'b', 'p'; 0: as the host's
  std::optional<uint32_t> major, minor;
  std::optional<mode_t> mode;
  std::string access;  // "rwm"
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;

  const std::string& HostPath() const { return host_path.empty() ? path : host_path; }
};

struct CdiMount {
  std::string host_path, container_path;
  std::string type;  // "" or "bind": a bind mount
  std::vector<std::string> options;
};

// What is to be changed in a container, in order.
struct CdiEdits {
  std::vector<std::string> env;  // "NAME=value"
  std::vector<CdiDeviceNode> device_nodes;
  std::vector<CdiMount> mounts;
  Hooks hooks;
  std::vector<gid_t> additional_gids;
  std::vector<std::string> refused;  // what Berth does not do: "intelRdt", "netDevices"

  bool empty() const;
  void Append(const CdiEdits& more);
};

struct CdiSpec {
  std::string kind;  // "vendor/class"
  CdiEdits edits;    // once, when any of the devices is used
  std::map<std::string, CdiEdits> devices;
};

enum class CdiFormat { kJson, kYaml };

// One spec file. InvalidArgument says where it is wrong; members that the specification does not
// have are refused. Pure.
absl::StatusOr<CdiSpec> ParseCdiSpec(absl::string_view text, CdiFormat format);

// InvalidArgument unless `name` is "vendor/class=device" by the specification's grammar. Pure.
absl::Status CheckCdiDeviceName(absl::string_view name);

// The specs of a node. Thread-safe. A spec file that is broken, or that another user than root may
// write, takes only its own devices away; why is said when a device is not found.
class CdiRegistry {
 public:
  // Absent directories are fine. Of two specs of a device, that of the later directory counts; two
  // in one directory make it unresolvable.
  explicit CdiRegistry(std::vector<std::string> directories);

  // The edits of all `names`, each once, in order, spec-level ones first. Reads directories again
  // when files in them have changed. InvalidArgument: a name's grammar; NotFound: no such device;
  // FailedPrecondition: two specs of it, or a hook that CheckHooks refuses; Unimplemented: edits
  // that Berth does not do. All name the device.
  absl::StatusOr<CdiEdits> Resolve(const std::vector<std::string>& names);

 private:
  struct Snapshot;
  std::shared_ptr<const Snapshot> Current(bool rescan);

  const std::vector<std::string> directories_;
  absl::Mutex mu_;
  std::shared_ptr<const Snapshot> snapshot_ ABSL_GUARDED_BY(mu_);
};

// Adds "NAME=value" to an environment; a variable of the same name makes way for it.
void PutVariable(const std::string& variable, std::vector<std::string>* env);

// Host paths of the device nodes that ApplyCdiEdits needs described, without duplicates.
std::vector<std::string> CdiHostDevicePaths(const CdiEdits& edits);

struct CdiTarget {
  // DescribeHostDevices of CdiHostDevicePaths.
  std::vector<HostDevice> host_devices;
  bool user_namespace = false;
};

// Changes `spec`: variables of the same name are replaced; mounts are binds with `source`, to be
// opened as volumes, each in front of the mounts that lie below it, and take the place of one with
// the same target; devices as PutDevice; hooks and groups are added. Returns the rules for the
// container's device cgroup. InvalidArgument: a mount option or device that cannot be. Pure.
absl::StatusOr<std::vector<DeviceRule>> ApplyCdiEdits(const CdiEdits& edits,
                                                      const CdiTarget& target, ContainerSpec* spec);

}  // namespace berth
