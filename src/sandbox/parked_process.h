// A process that does nothing: what a new systemd scope holds until a pod's monitor is in it
// (systemd.scope(5): a scope cannot be made empty). Ends with the object, or with berthd.
#pragma once

#include <sys/types.h>

#include <utility>

#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"
#include "src/kernel/process.h"

namespace berth {

// Move-only; not thread-safe.
class ParkedProcess {
 public:
  ParkedProcess() = default;
  // `monitor_executable` is borrowed for the call.
  static absl::StatusOr<ParkedProcess> Start(int monitor_executable);
  ParkedProcess(ParkedProcess&& other) noexcept = default;
  ParkedProcess& operator=(ParkedProcess&& other) noexcept;
  ~ParkedProcess() { End(); }

  pid_t pid() const { return process_.pid; }
  // Kills and reaps it: until then its cgroup counts as populated, and on v2 the kernel refuses to
  // enable controllers there (cgroups(7), "no internal processes"). Nothing if it has ended.
  void End();

 private:
  ParkedProcess(SpawnedProcess process, UniqueFd pipe)
      : process_(std::move(process)), pipe_(std::move(pipe)) {}

  SpawnedProcess process_;
  UniqueFd pipe_;  // its stdin: closed when berthd dies, which ends it
};

}  // namespace berth
