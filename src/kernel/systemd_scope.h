// Transient scope units of systemd over D-Bus: the cgroup of a pod where systemd, not Berth, owns
// the tree (org.freedesktop.systemd1(5), systemd.scope(5), systemd.resource-control(5)). One scope
// a pod, with Delegate=yes: what is below it is ours, as with cgroupfs (docs/adr/0007).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace berth {

// The last component of a cgroup_parent in systemd's form, which alone decides: of
// "/kubepods.slice/kubepods-burstable.slice" or "kubepods-burstable.slice" it is
// "kubepods-burstable.slice". InvalidArgument if that is not the name of a slice.
absl::StatusOr<std::string> SliceOfCgroupParent(absl::string_view cgroup_parent);

// Where systemd puts a slice: "a-b.slice" is "/a.slice/a-b.slice", "-.slice" is "". `slice` as from
// SliceOfCgroupParent.
std::string SliceCgroupPath(absl::string_view slice);

// "<path of the slice>/<unit>", for Cgroups.
std::string ScopeCgroupPath(absl::string_view slice, absl::string_view unit);

struct ScopeRequest {
  std::string unit;   // "berth-<pod id>.scope"
  std::string slice;  // made by systemd if there is none
  std::string description;
  // A process of the caller, moved into the scope: a scope cannot be made empty, and ends when it
  // gets empty. It may end as soon as another process is in a cgroup below the scope. On v2 the
  // scope's controllers can be enabled for its children only when it has ended.
  pid_t parked_pid = -1;
  // Numeric properties of systemd.resource-control(5): {"CPUWeight", 25}, {"MemoryMax", bytes}.
  std::vector<std::pair<std::string, uint64_t>> limits;
};

// Thread-safe: each call has a connection of its own, so one that waits holds up nobody, and a
// restart of systemd or of the bus breaks none but the calls that run.
class SystemdScopes {
 public:
  // `address` is a D-Bus address ("unix:path=..."); "" is the system bus or, where that cannot be
  // reached, systemd's own socket. Unavailable if systemd does not answer there.
  static absl::StatusOr<SystemdScopes> Connect(const std::string& address = "");

  // Returns when the scope is there with the process in it. A failed unit that has the name is
  // cleared away first; AlreadyExists for one that is alive; DeadlineExceeded, and the job is
  // cancelled, when systemd takes longer.
  absl::Status Create(const ScopeRequest& request, absl::Time deadline) const;

  // Ends what still runs in the scope (SIGTERM, then systemd's timeout, then SIGKILL) and the unit,
  // failed or not. Ok if there is none.
  absl::Status Stop(const std::string& unit, absl::Time deadline) const;

 private:
  explicit SystemdScopes(std::string address) : address_(std::move(address)) {}
  std::string address_;
};

}  // namespace berth
