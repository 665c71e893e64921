// exec: one more process in a running container.
#include <fcntl.h>
#include <linux/sched.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/kernel/process.h"
#include "src/oci/bundle.h"
#include "src/oci/console.h"
#include "src/oci/create.h"
#include "src/oci/launch.h"

namespace berth::oci {
namespace {

constexpr int64_t kEntered = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;

// "uid" or "uid:gid"
absl::Status SetUser(const std::string& user, ProcessIdentity* identity) {
  const std::vector<std::string> parts = absl::StrSplit(user, ':');
  if (parts.size() > 2 || !absl::SimpleAtoi(parts[0], &identity->uid) ||
      (parts.size() == 2 && !absl::SimpleAtoi(parts[1], &identity->gid))) {
    return absl::InvalidArgumentError(absl::StrCat("--user ", user, ": not UID or UID:GID"));
  }
  return absl::OkStatus();
}

// The process that the flags describe: the container's own, with what they change.
absl::StatusOr<ProcessConfig> FromFlags(const ExecOptions& options, const OciConfig& config) {
  if (options.args.empty()) return absl::InvalidArgumentError("exec: no command is given");
  ProcessConfig process = {.args = options.args,
                           .env = config.spec.env,
                           .cwd = options.cwd.empty() ? config.spec.cwd : options.cwd,
                           .identity = config.spec.identity,
                           .terminal = options.tty};
  process.env.insert(process.env.end(), options.env.begin(), options.env.end());
  if (!options.user.empty()) RETURN_IF_ERROR(SetUser(options.user, &process.identity));
  ASSIGN_OR_RETURN(const uint64_t more, CapabilityMask(options.capabilities));
  CapabilitySets& caps = process.identity.caps;
  for (uint64_t* set : {&caps.bounding, &caps.permitted, &caps.effective}) *set |= more;
  process.identity.no_new_privs |= options.no_new_privs;
  return process;
}

absl::StatusOr<ProcessConfig> ProcessOf(const ExecOptions& options, const OciConfig& config) {
  if (options.process_file.empty()) return FromFlags(options, config);
  ASSIGN_OR_RETURN(const std::string text,
                   ReadFileAt(AT_FDCWD, options.process_file, kConfigMaxBytes));
  ASSIGN_OR_RETURN(ProcessConfig process, ParseOciProcess(text));
  process.terminal |= options.tty;
  return process;
}

// The exec plan of a pod's container is made in the pod's namespaces, by who knows its cgroups;
// here they are entered first.
LaunchPlan PlanFor(const ProcessConfig& process, int cgroup_tasks, bool user_namespace,
                   int container) {
  LaunchPlan plan = BuildExecPlan({.args = process.args,
                                   .env = process.env,
                                   .cwd = process.cwd,
                                   .identity = process.identity,
                                   .user_namespace = user_namespace});
  std::vector<PlanStep> steps;
  for (PlanStep& step : plan.steps) {
    if (step.op == wire::Op::kJoinContainerCgroups) {
      for (int i = 0; i < cgroup_tasks; ++i) steps.push_back({.op = wire::Op::kJoinCgroup, .a = i});
      continue;
    }
    if (step.op == wire::Op::kJoinContainer)
      steps.push_back({.op = wire::Op::kSetNs, .a = container, .b = kEntered});
    if (step.op == wire::Op::kStdio) {
      step.a = wire::kStdinPipe;
      step.b = wire::kLogStdout;
      step.c = wire::kLogStderr;
      if (process.terminal) step = {.op = wire::Op::kTerminal};
    }
    steps.push_back(std::move(step));
  }
  return {.steps = std::move(steps)};
}

absl::StatusOr<Launched> LaunchExec(const Runtime& runtime, const ContainerState& state,
                                    const OciConfig& config, ProcessConfig process) {
  ASSIGN_OR_RETURN(const UniqueFd container, OpenProcess(state));
  RETURN_IF_ERROR(CheckLabels(process.identity, ""));
  ASSIGN_OR_RETURN(process.identity.program, CompileFilter(config.seccomp_json, process.identity));
  ASSIGN_OR_RETURN(const UniqueFd monitor, SealedCopy(runtime.monitor));
  ASSIGN_OR_RETURN(const Cgroups cgroups, Cgroups::Detect());
  ASSIGN_OR_RETURN(const CgroupHandle cgroup, cgroups.Open(state.cgroup_path));
  const int tasks = static_cast<int>(cgroup.tasks.size());
  const LaunchPlan plan = PlanFor(process, tasks, !config.spec.namespaces.user.IsNode(), tasks);
  LaunchRequest request = {.monitor = monitor.get(), .plan = &plan};
  for (const UniqueFd& fd : cgroup.tasks) request.fds.push_back(fd.get());
  request.container = request.pid_namespace = tasks;
  request.fds.push_back(container.get());
  if (cgroup.unified) {
    request.cgroup = tasks + 1;
    request.fds.push_back(cgroup.directory.get());
  }
  return Launch(request);
}

}  // namespace

absl::StatusOr<int> Exec(const Runtime& runtime, const ExecOptions& options) {
  ASSIGN_OR_RETURN(const ContainerState state, runtime.states.Read(options.id));
  const ContainerStatus status = FullStatus(runtime, state);
  if (status != ContainerStatus::kRunning && status != ContainerStatus::kCreated) {
    return absl::FailedPreconditionError(
        absl::StrCat("exec in ", options.id, ": it is ", StatusName(status), ", not running"));
  }
  ASSIGN_OR_RETURN(const OciConfig config, StoredConfig(runtime, state));
  ASSIGN_OR_RETURN(const ProcessConfig process, ProcessOf(options, config));
  if (process.terminal && options.detach && options.console_socket.empty()) {
    return absl::InvalidArgumentError("exec --detach with a terminal: needs --console-socket");
  }
  ASSIGN_OR_RETURN(Launched launched, LaunchExec(runtime, state, config, process));
  if (launched.terminal.valid()) {
    RETURN_IF_ERROR(SetConsoleSize(launched.terminal, process.console_size));
    if (!options.console_socket.empty()) {
      RETURN_IF_ERROR(SendConsole(options.console_socket, launched.terminal));
      launched.terminal.reset();
    }
  }
  if (!options.pid_file.empty()) RETURN_IF_ERROR(WritePidFile(options.pid_file, launched.pid));
  if (options.detach) return 0;
  return Attend(launched.pid, std::move(launched.terminal));
}

}  // namespace berth::oci
