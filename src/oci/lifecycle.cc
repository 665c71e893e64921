// start, run, kill, delete.
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/kernel/signal_name.h"
#include "src/oci/cgroup_processes.h"
#include "src/oci/console.h"
#include "src/oci/create.h"
#include "src/oci/launch.h"
#include "src/runtime/hooks.h"

namespace berth::oci {
namespace {

// A killed process is gone within this time, or it hangs in the kernel.
constexpr int kDeathTimeoutMs = 10'000;

void Warn(const Runtime& runtime, const absl::Status& status) {
  if (!status.ok()) *runtime.err << "berth-oci: warning: " << status.message() << "\n";
}

// Lets the waiting process go on, and returns once it has been exec'ed or has failed.
absl::Status Release(const Runtime& runtime, const ContainerState& state,
                     const ContainerSpec& spec) {
  const std::string directory = runtime.states.PathOf(state.id);
  const std::string fifo = absl::StrCat(directory, "/", kStartFifo);
  const std::string taken = fifo + ".taken";
  ASSIGN_OR_RETURN(
      const UniqueFd result,
      OpenFile(AT_FDCWD, absl::StrCat(directory, "/", kResultFifo), O_RDONLY | O_NONBLOCK));
  // Of two that start at once the one whose rename succeeds goes on.
  if (std::rename(fifo.c_str(), taken.c_str()) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("start ", state.id, ": it has been started already"));
  }
  ASSIGN_OR_RETURN(const UniqueFd start, OpenFile(AT_FDCWD, taken, O_WRONLY | O_NONBLOCK));
  ::unlink(taken.c_str());
  if (::write(start.get(), "s", 1) != 1) return ErrnoStatus("start", state.id);
  pollfd waiting = {.fd = result.get(), .events = POLLIN};
  while (::poll(&waiting, 1, -1) < 0) {
    if (errno != EINTR) return ErrnoStatus("poll", state.id);
  }
  wire::ErrorReply reply;
  const ssize_t n = ::read(result.get(), &reply, sizeof(reply));
  if (n == 0) return absl::OkStatus();
  if (n != sizeof(reply)) return absl::DataLossError(absl::StrCat("start ", state.id));
  // Steps are counted from where the waiting part of the plan begins.
  const LaunchPlan plan = BuildContainerPlan(spec, {}, {});
  if (reply.step >= 0) reply.step += static_cast<int>(ExecuteFrom(plan));
  return Annotate(LaunchFailure(plan, reply), absl::StrCat("start ", state.id));
}

absl::Status WaitForDeath(const UniqueFd& pidfd, const std::string& id) {
  pollfd waiting = {.fd = pidfd.get(), .events = POLLIN};
  const int n = ::poll(&waiting, 1, kDeathTimeoutMs);
  if (n > 0) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat("kill ", id, ": its process does not end"));
}

absl::Status KillWhole(const Cgroups& cgroups, const ContainerState& state) {
  const absl::StatusOr<UniqueFd> pidfd = OpenProcess(state);
  if (pidfd.ok()) ::syscall(SYS_pidfd_send_signal, pidfd->get(), SIGKILL, nullptr, 0);
  cgroups.Kill(state.cgroup_path);
  return pidfd.ok() ? WaitForDeath(*pidfd, state.id) : absl::OkStatus();
}

// Killed processes leave the cgroup when their parents have read their ends.
absl::Status RemoveCgroup(const Cgroups& cgroups, const std::string& path) {
  RETURN_IF_ERROR(WaitForEmptyCgroup(cgroups, path));
  return cgroups.Remove(path);
}

absl::Status DeleteState(const Runtime& runtime, ContainerState state, bool force) {
  ASSIGN_OR_RETURN(const Cgroups cgroups, Cgroups::Detect());
  const ContainerStatus status = FullStatus(runtime, state);
  const bool lives = status == ContainerStatus::kRunning || status == ContainerStatus::kPaused ||
                     status == ContainerStatus::kCreated;
  if (lives && !force && status != ContainerStatus::kCreated) {
    return absl::FailedPreconditionError(
        absl::StrCat("delete ", state.id, ": it is ", StatusName(status), ", not stopped"));
  }
  if (status == ContainerStatus::kPaused) Warn(runtime, Freeze(runtime, state.id, false));
  if (!state.cgroup_path.empty()) RETURN_IF_ERROR(KillWhole(cgroups, state));
  if (!state.cgroup_path.empty()) RETURN_IF_ERROR(RemoveCgroup(cgroups, state.cgroup_path));
  const absl::StatusOr<OciConfig> config = StoredConfig(runtime, state);
  RETURN_IF_ERROR(runtime.states.Remove(state.id));
  if (!config.ok()) return absl::OkStatus();
  state.pid = 0;
  const std::string hook_state = HookState(state, "stopped", true);
  for (const Hook& hook : config->spec.hooks.poststop)
    Warn(runtime, RunHooks({hook}, hook_state, kHookTimeout));
  return absl::OkStatus();
}

}  // namespace

absl::Status Start(const Runtime& runtime, const std::string& id) {
  ASSIGN_OR_RETURN(const ContainerState state, runtime.states.Read(id));
  const ContainerStatus status = runtime.states.StatusOf(state);
  if (status != ContainerStatus::kCreated) {
    return absl::FailedPreconditionError(
        absl::StrCat("start ", id, ": it is ", StatusName(status), ", not created"));
  }
  ASSIGN_OR_RETURN(const OciConfig config, StoredConfig(runtime, state));
  RETURN_IF_ERROR(Release(runtime, state, config.spec));
  const std::string hook_state = HookState(state, "running", true);
  for (const Hook& hook : config.spec.hooks.poststart)
    Warn(runtime, RunHooks({hook}, hook_state, kHookTimeout));
  return absl::OkStatus();
}

absl::StatusOr<int> Run(const Runtime& runtime, const RunOptions& options) {
  const Terminal terminal = options.detach ? Terminal::kToSocket : Terminal::kKeep;
  ASSIGN_OR_RETURN(Created created, CreateContainer(runtime, options.create, terminal));
  const std::string& id = created.state.id;
  if (absl::Status started = Start(runtime, id); !started.ok()) {
    Warn(runtime, Delete(runtime, id, /*force=*/true));
    return started;
  }
  if (options.detach) return 0;
  const absl::StatusOr<int> code = Attend(created.state.pid, std::move(created.terminal));
  if (!options.keep) Warn(runtime, Delete(runtime, id, /*force=*/true));
  return code;
}

absl::Status Kill(const Runtime& runtime, const KillOptions& options) {
  ASSIGN_OR_RETURN(const int signal, ParseSignal(options.signal));
  ASSIGN_OR_RETURN(const ContainerState state, runtime.states.Read(options.id));
  const absl::StatusOr<UniqueFd> pidfd = OpenProcess(state);
  if (options.all) {
    ASSIGN_OR_RETURN(const Cgroups cgroups, Cgroups::Detect());
    if (signal == SIGKILL) {
      cgroups.Kill(state.cgroup_path);
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const std::vector<pid_t> pids, CgroupProcesses(cgroups, state.cgroup_path));
    for (const pid_t pid : pids) ::kill(pid, signal);
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(pidfd.status());
  if (::syscall(SYS_pidfd_send_signal, pidfd->get(), signal, nullptr, 0) != 0)
    return ErrnoStatus("kill", options.id);
  return absl::OkStatus();
}

absl::Status Delete(const Runtime& runtime, const std::string& id, bool force) {
  absl::StatusOr<ContainerState> state = runtime.states.Read(id);
  if (force && absl::IsNotFound(state.status())) {
    // Perhaps a create that was killed before it wrote a state.
    return CheckId(id).ok() ? runtime.states.Remove(id) : CheckId(id);
  }
  RETURN_IF_ERROR(state.status());
  return DeleteState(runtime, *std::move(state), force);
}

}  // namespace berth::oci
