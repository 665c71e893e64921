// What plugins (NRI) have changed in a container beside what was asked for. It is kept with the
// container and counts each time its spec is made.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/runtime/cdi.h"
#include "src/runtime/spec.h"

namespace berth {

struct ContainerAdjustment {
  std::map<std::string, std::string> annotations;
  std::optional<std::vector<std::string>> args;  // in the place of the container's own
  std::vector<std::string> cdi_devices;          // "vendor/class=name", behind the requested ones
  // Variables, mounts, device nodes and hooks. A mount or device takes the place of one that has
  // its target or path, a variable that of one with its name.
  CdiEdits edits;
  // What goes before that comes: names of variables and annotations, targets of mounts, paths of
  // devices.
  std::vector<std::string> removed_env, removed_annotations, removed_mounts, removed_devices;
  std::vector<Rlimit> rlimits;
  std::optional<int> oom_score_adj;
};

// Changes the environment, as an exec sees it too.
void AdjustEnvironment(const ContainerAdjustment& adjustment, std::vector<std::string>* env);
// Limits and OOM score, likewise.
void AdjustIdentity(const ContainerAdjustment& adjustment, ProcessIdentity* identity);
// All the rest but CDI devices, which the caller resolves. Returns what is to be added to the rules
// of the device cgroup. InvalidArgument: a mount or a device that cannot be. Pure.
absl::StatusOr<std::vector<DeviceRule>> AdjustSpec(const ContainerAdjustment& adjustment,
                                                   const CdiTarget& target, ContainerSpec* spec);

}  // namespace berth
