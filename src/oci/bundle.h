// A bundle made ready to be launched: config.json parsed, its sources, namespaces and devices
// opened, the seccomp filter compiled. Used by create and exec.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"
#include "src/kernel/cgroup.h"
#include "src/oci/oci_config.h"
#include "src/runtime/container_plan.h"

namespace berth::oci {

// config.json of the bundle directory, as text.
absl::StatusOr<std::string> ReadBundleConfig(const std::string& bundle);

struct OpenedBundle {
  std::vector<UniqueFd> volumes;  // what spec's fd_index operands count
  UniqueFd user_namespace;
  UniqueFd pid_namespace;  // to start in; invalid: a new one, or this process's
};

// Opens what `config` names and fills the indexes of its spec. `monitor` is berth-monitor.
absl::StatusOr<OpenedBundle> OpenBundle(int monitor, OciConfig* config);

// FailedPrecondition if a label is asked for that this kernel does not have: never left out
// silently.
absl::Status CheckLabels(const ProcessIdentity& identity, const std::string& mount_label);

// The filter for a process of these capabilities; nothing for "".
absl::StatusOr<SeccompProgram> CompileFilter(const std::string& seccomp_json,
                                             const ProcessIdentity& identity);

NodeFacts FactsOf(const Cgroups& cgroups);

}  // namespace berth::oci
