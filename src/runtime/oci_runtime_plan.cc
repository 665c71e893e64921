// Plans that run an external OCI runtime (runc(8), crun(1)).
#include <linux/sched.h>

#include "absl/strings/str_cat.h"
#include "src/runtime/mount_plan.h"
#include "src/runtime/plan_steps.h"

namespace berth {
namespace {

using wire::Op;

// All of a runtime's environment: nothing of the daemon's, and nothing of the container's.
const std::vector<std::string>& RuntimeEnv() {
  static const auto* const env = new std::vector<std::string>{
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"};
  return *env;
}

std::vector<std::string> CommandLine(const OciRuntime& runtime,
                                     const std::vector<std::string>& global,
                                     const std::vector<std::string>& command) {
  std::vector<std::string> args = {runtime.path, "--root", runtime.root};
  args.insert(args.end(), global.begin(), global.end());
  if (runtime.systemd_cgroup) args.push_back("--systemd-cgroup");
  args.insert(args.end(), command.begin(), command.end());
  return args;
}

}  // namespace

LaunchPlan BuildOciCreatePlan(const ContainerSpec& spec, const NodeFacts& node, const PlanFds& fds,
                              const OciRuntime& runtime, const std::string& container_id) {
  LaunchPlan plan;
  Steps steps(&plan);
  MountPlan mounts(spec, node, fds, steps);
  const std::string& bundle = spec.host_view->bundle;
  mounts.OpenTrees();
  mounts.MapVolumes();
  steps.Add(Op::kSetNs, {}, HostMountsFd(fds), CLONE_NEWNS);
  steps.Add(Op::kUnshare, {}, CLONE_NEWNS);
  steps.Add(Op::kPrivateMounts, {}, 1);
  steps.Add(Op::kNewSession);
  // With a terminal the runtime's own words go to its log only.
  if (spec.terminal) {
    steps.Add(Op::kStdio, {}, wire::kNull, wire::kNull, wire::kNull);
  } else {
    steps.Add(Op::kStdio, {}, spec.stdin_open ? wire::kStdinPipe : wire::kNull, wire::kLogStdout,
              wire::kLogStderr);
  }
  mounts.AttachSources(bundle);
  mounts.AddRoot();
  steps.Add(Op::kChdir, {bundle});
  std::vector<std::string> command = {"create", "--bundle", bundle, "--pid-file",
                                      absl::StrCat(bundle, "/pid")};
  if (spec.terminal) {
    // Relative: a bundle's path may be longer than the 108 bytes of a socket's (unix(7)).
    command.push_back("--console-socket");
    command.push_back("console.sock");
  }
  command.push_back(container_id);
  AddExec(steps,
          CommandLine(runtime, {"--log", absl::StrCat(bundle, "/log.json"), "--log-format", "json"},
                      command),
          RuntimeEnv());
  return plan;
}

LaunchPlan BuildOciCommandPlan(const OciRuntime& runtime, const std::vector<std::string>& command,
                               const ExecStreams& streams) {
  LaunchPlan plan;
  Steps steps(&plan);
  steps.Add(Op::kSetNs, {}, 0, CLONE_NEWNS);
  steps.Add(Op::kNewSession);
  AddExecStreams(steps, streams, 1);
  steps.Add(Op::kChdir, {"/"});
  AddExec(steps, CommandLine(runtime, {}, command), RuntimeEnv());
  return plan;
}

}  // namespace berth
