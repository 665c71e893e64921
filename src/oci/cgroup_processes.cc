#include "src/oci/cgroup_processes.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/kernel/file.h"

namespace berth::oci {
namespace {

constexpr absl::Duration kDeathTimeout = absl::Seconds(10);

absl::Status AddProcesses(int directory, std::vector<pid_t>* pids) {
  ASSIGN_OR_RETURN(const std::string procs, ReadFileAt(directory, "cgroup.procs", 16 << 20));
  for (absl::string_view line : absl::StrSplit(procs, '\n', absl::SkipEmpty())) {
    pid_t pid = 0;
    if (absl::SimpleAtoi(line, &pid) && pid > 0) pids->push_back(pid);
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDir(directory, "."));
  for (const std::string& name : names) {
    const absl::StatusOr<UniqueFd> child = OpenDir(directory, name);
    if (child.ok()) RETURN_IF_ERROR(AddProcesses(child->get(), pids));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<pid_t>> CgroupProcesses(const Cgroups& cgroups,
                                                   const std::string& path) {
  std::vector<pid_t> pids;
  ASSIGN_OR_RETURN(const CgroupHandle cgroup, cgroups.Open(path));
  RETURN_IF_ERROR(AddProcesses(cgroup.directory.get(), &pids));
  std::sort(pids.begin(), pids.end());
  pids.erase(std::unique(pids.begin(), pids.end()), pids.end());
  return pids;
}

absl::Status WaitForEmptyCgroup(const Cgroups& cgroups, const std::string& path) {
  const absl::Time deadline = SteadyNow() + kDeathTimeout;
  while (SteadyNow() < deadline) {
    const absl::StatusOr<std::vector<pid_t>> pids = CgroupProcesses(cgroups, path);
    if (!pids.ok() || pids->empty()) return absl::OkStatus();
    // A process that has ended, but not been reaped, is listed still: its pidfd is readable, and
    // there is nothing to wait for but its parent.
    bool waited = false;
    for (const pid_t pid : *pids) {
      const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
      pollfd ended = {.fd = pidfd.get(), .events = POLLIN};
      if (!pidfd.valid() || ::poll(&ended, 1, 0) > 0) continue;
      waited = true;
      ::poll(&ended, 1, static_cast<int>(absl::ToInt64Milliseconds(deadline - SteadyNow())));
    }
    if (!waited) return absl::OkStatus();
  }
  return absl::DeadlineExceededError(absl::StrCat("cgroup ", path, ": its processes do not end"));
}

}  // namespace berth::oci
