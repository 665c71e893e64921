// The leak oracle: what a node holds (mounts, namespaces, links, packet filter rules, cgroups,
// processes, the daemon's fds, files and rows, loop devices, named network namespaces), and what a
// test left behind of it. It sees a whole node: the caller runs in namespaces of its own
// (isolation.h). Not thread-safe.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace berth::e2e {

struct OracleScope {
  std::string data_dir;  // the daemon's DIR; "" looks at no files and rows
  std::string
      cgroup_name;    // only cgroup directories with this word in their path; "" looks at none
  pid_t daemon = -1;  // whose fds are counted; -1 for none
};

// "<kind> <entry>" -> how many. Entries carry no pids and no random names, so that a pool of ready
// objects that is refilled compares equal.
using Snapshot = std::map<std::string, int>;

absl::StatusOr<Snapshot> TakeSnapshot(const OracleScope& scope);

// One line per difference: "+2 link veth*" (left behind), "-1 process berthd" (lost). Fewer fds are
// no difference.
std::vector<std::string> Differences(const Snapshot& before, const Snapshot& after);

// Takes snapshots until one equals `before` or `patience` is over (the daemon's reapers work after
// the call that asked for the removal has returned); the differences of the last one.
absl::StatusOr<std::vector<std::string>> WaitForSame(const OracleScope& scope,
                                                     const Snapshot& before,
                                                     absl::Duration patience);

}  // namespace berth::e2e
