#include "src/runtime/plan_steps.h"

#include <linux/seccomp.h>
#include <sys/resource.h>

#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace berth {
namespace {

using wire::Op;

std::string PackGroups(const std::vector<gid_t>& groups) {
  std::string packed(groups.size() * sizeof(gid_t), '\0');
  if (!groups.empty()) std::memcpy(packed.data(), groups.data(), packed.size());
  return packed;
}

// Labels that the next execve(2) takes on (proc_pid_attr(5)).
void AddLabels(Steps& steps, const ProcessIdentity& identity) {
  if (!identity.apparmor.empty()) {
    steps.Add(Op::kWriteProc,
              {"thread-self/attr/apparmor/exec", absl::StrCat("exec ", identity.apparmor)});
  }
  if (!identity.selinux.empty())
    steps.Add(Op::kWriteProc, {"thread-self/attr/exec", identity.selinux});
}

void AddSeccomp(Steps& steps, const SeccompProgram& program) {
  if (program.filter.empty()) return;
  const uint32_t listener =
      program.listener_path.empty() ? 0 : uint32_t{SECCOMP_FILTER_FLAG_NEW_LISTENER};
  steps.Add(Op::kSeccomp, {program.filter}, program.flags | listener);
}

}  // namespace

void AddJoinCgroups(Steps& steps, int tasks) {
  for (int i = 0; i < tasks; ++i) steps.Add(Op::kJoinCgroup, {}, i);
}

void AddExecStreams(Steps& steps, const ExecStreams& streams, int first_fd) {
  if (streams.terminal) return steps.Add(Op::kTerminal, {}, streams.rows, streams.columns);
  int64_t next = first_fd;
  const auto take = [&next](bool wanted) { return wanted ? next++ : int64_t{wire::kNull}; };
  const int64_t input = take(streams.input), output = take(streams.output);
  steps.Add(Op::kStdio, {}, input, output, take(streams.error_output));
}

void AddExec(Steps& steps, const std::vector<std::string>& args,
             const std::vector<std::string>& env) {
  std::vector<std::string> strings = args;
  strings.insert(strings.end(), env.begin(), env.end());
  steps.Add(Op::kExec, std::move(strings), static_cast<int64_t>(args.size()),
            static_cast<int64_t>(env.size()));
}

void AddHooks(Steps& steps, const std::vector<Hook>& hooks, const std::string& state) {
  for (const Hook& hook : hooks) {
    // The file to run is the first argument, which a hook may name otherwise for itself: the path
    // is what counts.
    std::vector<std::string> strings = {state, hook.path};
    if (hook.args.size() > 1) strings.insert(strings.end(), hook.args.begin() + 1, hook.args.end());
    const auto argc = static_cast<int64_t>(strings.size()) - 1;
    strings.insert(strings.end(), hook.env.begin(), hook.env.end());
    const absl::Duration timeout =
        hook.timeout > absl::ZeroDuration() ? hook.timeout : kHookTimeout;
    steps.Add(Op::kHook, std::move(strings), argc, static_cast<int64_t>(hook.env.size()),
              absl::ToInt64Milliseconds(timeout));
  }
}

std::string SysctlPath(const std::string& name) {
  if (absl::StrContains(name, '/')) return absl::StrCat("sys/", name);
  return absl::StrCat("sys/", absl::StrReplaceAll(name, {{".", "/"}}));
}

// The root of a user namespace may neither lower its oom_score_adj nor raise a hard limit. Here the
// soft limit becomes the hard one, too, so that a small one does not hinder what is still to be
// done.
void AddPrivilegedIdentity(Steps& steps, const ProcessIdentity& identity, bool user_namespace) {
  if (identity.oom_score_adj.has_value()) {
    steps.Add(Op::kWriteProc, {"self/oom_score_adj", absl::StrCat(*identity.oom_score_adj)},
              wire::kTolerateDenied);
  }
  if (!user_namespace) return;
  for (const Rlimit& limit : identity.rlimits) {
    steps.Add(Op::kSetRlimit, {}, limit.resource, static_cast<int64_t>(limit.hard),
              static_cast<int64_t>(limit.hard));
  }
}

// Loading a filter needs no_new_privs or CAP_SYS_ADMIN (seccomp(2)): without the first it is loaded
// while root's capabilities are still there.
void AddIdentity(Steps& steps, const ProcessIdentity& identity) {
  for (const Rlimit& limit : identity.rlimits) {
    steps.Add(Op::kSetRlimit, {}, limit.resource, static_cast<int64_t>(limit.soft),
              static_cast<int64_t>(limit.hard));
  }
  AddLabels(steps, identity);
  if (identity.umask.has_value()) steps.Add(Op::kSetUmask, {}, *identity.umask);
  const CapabilitySets& caps = identity.caps;
  steps.Add(Op::kDropBounding, {}, static_cast<int64_t>(caps.bounding));
  if (!identity.no_new_privs) AddSeccomp(steps, identity.program);
  steps.Add(Op::kSetIdentity, {PackGroups(identity.groups)}, identity.uid, identity.gid);
  // As execve(2) will have it: a user other than root keeps no permitted capability but the
  // ambient.
  steps.Add(Op::kSetCapabilities, {}, static_cast<int64_t>(caps.permitted),
            static_cast<int64_t>(caps.effective), static_cast<int64_t>(caps.inheritable));
  if (caps.ambient != 0) steps.Add(Op::kSetAmbient, {}, static_cast<int64_t>(caps.ambient));
  if (!identity.no_new_privs) return;
  steps.Add(Op::kNoNewPrivs);
  AddSeccomp(steps, identity.program);
}

std::string LowerDirs(const std::vector<std::string>& layers) {
  return absl::StrJoin(layers.rbegin(), layers.rend(), ":");
}

std::string BundleRootfs(const std::string& bundle) { return absl::StrCat(bundle, "/rootfs"); }

std::string BundleMount(const std::string& bundle, size_t index) {
  return absl::StrCat(bundle, "/mounts/", index);
}

}  // namespace berth
