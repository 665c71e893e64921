#include "src/sandbox/container_spec.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"
#include "src/runtime/capabilities.h"

namespace berth {
namespace {

constexpr absl::string_view kDefaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr size_t kMaxEnv = 10000;

// Where nothing may be mounted: the kernel's own files, except those that CRI clients lawfully replace.
constexpr std::array kForbiddenTargets = {"/proc", "/sys"};

absl::string_view KeyOf(absl::string_view variable) { return variable.substr(0, variable.find('=')); }

void SetEnv(std::vector<std::string>* env, const std::string& variable) {
  for (std::string& existing : *env) {
    if (KeyOf(existing) == KeyOf(variable)) {
      existing = variable;
      return;
    }
  }
  env->push_back(variable);
}

std::vector<std::string> EnvironmentOf(const ContainerRecord& container, const PodRecord& pod) {
  std::vector<std::string> env = {std::string(kDefaultPath)};
  for (const std::string& variable : container.image.env) SetEnv(&env, variable);
  if (!pod.config.namespaces.hostname.empty()) {
    SetEnv(&env, absl::StrCat("HOSTNAME=", pod.config.namespaces.hostname));
  }
  if (container.config.tty) SetEnv(&env, "TERM=xterm");
  for (const std::string& variable : container.config.envs) SetEnv(&env, variable);
  const bool home = std::any_of(env.begin(), env.end(), [](const std::string& variable) { return KeyOf(variable) == "HOME"; });
  if (!home) env.push_back(absl::StrCat("HOME=", container.image.home));
  return env;
}

std::vector<std::string> CommandOf(const ContainerRecord& container) {
  const ContainerConfig& config = container.config;
  std::vector<std::string> command = config.command.empty() ? container.image.entrypoint : config.command;
  const std::vector<std::string>& rest =
      config.command.empty() && config.args.empty() ? container.image.cmd : config.args;
  command.insert(command.end(), rest.begin(), rest.end());
  return command;
}

std::string WorkingDirOf(const ContainerRecord& container) {
  if (!container.config.working_dir.empty()) return container.config.working_dir;
  return container.image.working_dir.empty() ? "/" : container.image.working_dir;
}

absl::Status CheckStrings(absl::string_view what, const std::vector<std::string>& strings) {
  for (const std::string& text : strings) {
    if (text.find('\0') != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat(what, ": has a NUL byte"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ProcessIdentity> IdentityOf(const ContainerRecord& container) {
  ProcessIdentity identity{.uid = container.image.uid, .gid = container.image.gid};
  identity.groups.assign(container.image.groups.begin(), container.image.groups.end());
  ASSIGN_OR_RETURN(identity.capabilities,
                   ResolveCapabilities(container.config.add_capabilities, container.config.drop_capabilities));
  identity.no_new_privs = container.config.no_new_privs;
  identity.oom_score_adj = container.config.oom_score_adj;
  return identity;
}

absl::Status CheckMounts(const std::vector<BindMount>& mounts) {
  std::vector<std::string> seen;
  for (const BindMount& mount : mounts) {
    if (mount.container_path.empty() || mount.container_path[0] != '/') {
      return absl::InvalidArgumentError(absl::StrCat("mounts: container_path \"", mount.container_path, "\" is not absolute"));
    }
    for (absl::string_view part : absl::StrSplit(mount.container_path, '/')) {
      if (part == "..") return absl::InvalidArgumentError(absl::StrCat("mounts: container_path ", mount.container_path, " has \"..\""));
    }
    for (const char* forbidden : kForbiddenTargets) {
      const std::string below = absl::StrCat(forbidden, "/");
      if (mount.container_path == forbidden || absl::StartsWith(mount.container_path, below) || mount.container_path == "/") {
        return absl::InvalidArgumentError(absl::StrCat("mounts: nothing may be mounted on ", mount.container_path));
      }
    }
    if (std::find(seen.begin(), seen.end(), mount.container_path) != seen.end()) {
      return absl::InvalidArgumentError(absl::StrCat("mounts: two are for ", mount.container_path));
    }
    seen.push_back(mount.container_path);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ContainerSpec> BuildContainerSpec(const ContainerRecord& container, const PodRecord& pod) {
  ContainerSpec spec;
  spec.layers = container.image.layers;
  const std::string directory = absl::StrCat("containers/", container.id);
  spec.upper = directory + "/upper";
  spec.work = directory + "/work";
  spec.pod_dir = absl::StrCat("pods/", pod.id);
  spec.args = CommandOf(container);
  if (spec.args.empty() || spec.args[0].empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("container ", container.config.name, ": no command given, and image ", container.image.name, " has none"));
  }
  spec.env = EnvironmentOf(container, pod);
  if (spec.env.size() > kMaxEnv) {
    return absl::InvalidArgumentError(absl::StrCat("envs: ", spec.env.size(), " variables, at most ", kMaxEnv, " are allowed"));
  }
  RETURN_IF_ERROR(CheckStrings("command and args", spec.args));
  RETURN_IF_ERROR(CheckStrings("envs", spec.env));
  spec.cwd = WorkingDirOf(container);
  if (spec.cwd[0] != '/') {
    return absl::InvalidArgumentError(absl::StrCat("working_dir \"", spec.cwd, "\" is not absolute"));
  }
  ASSIGN_OR_RETURN(spec.identity, IdentityOf(container));
  RETURN_IF_ERROR(CheckMounts(container.config.mounts));
  spec.terminal = container.config.tty;
  spec.readonly_rootfs = container.config.readonly_rootfs;
  spec.masked_paths = container.config.masked_paths;
  spec.readonly_paths = container.config.readonly_paths;
  for (size_t i = 0; i < container.config.mounts.size(); ++i) {
    const BindMount& mount = container.config.mounts[i];
    spec.volumes.push_back(
        {.target = mount.container_path, .fd_index = static_cast<int>(i), .readonly = mount.readonly});
  }
  return spec;
}

absl::StatusOr<ExecSpec> BuildExecSpec(const ContainerRecord& container, const PodRecord& pod,
                                       const std::vector<std::string>& command) {
  if (command.empty() || command[0].empty()) return absl::InvalidArgumentError("cmd: no command given");
  RETURN_IF_ERROR(CheckStrings("cmd", command));
  ExecSpec spec;
  spec.args = command;
  spec.env = EnvironmentOf(container, pod);
  spec.cwd = WorkingDirOf(container);
  ASSIGN_OR_RETURN(spec.identity, IdentityOf(container));
  return spec;
}

absl::StatusOr<int> ParseStopSignal(absl::string_view text) {
  if (text.empty()) return 0;
  int number = 0;
  if (absl::SimpleAtoi(text, &number)) {
    if (number > 0 && number < NSIG) return number;
  } else {
    const absl::string_view name = absl::StripPrefix(text, "SIG");
    for (int signal = 1; signal < NSIG; ++signal) {
      const char* known = sigabbrev_np(signal);
      if (known != nullptr && name == known) return signal;
    }
    int offset = 0;
    if (absl::StartsWith(name, "RTMIN+") && absl::SimpleAtoi(name.substr(6), &offset) && offset >= 0 &&
        SIGRTMIN + offset <= SIGRTMAX) {
      return SIGRTMIN + offset;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("stop signal \"", text, "\" does not exist"));
}

}  // namespace berth
