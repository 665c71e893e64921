#include "src/sandbox/container_spec.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"
#include "src/runtime/capabilities.h"

namespace berth {
namespace {

constexpr absl::string_view kDefaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr size_t kMaxEnv = 10000;

// Where nothing may be mounted: the kernel's own files, except those that CRI clients lawfully
// replace.
constexpr std::array kForbiddenTargets = {"/proc", "/sys"};

absl::string_view KeyOf(absl::string_view variable) {
  return variable.substr(0, variable.find('='));
}

// Variables in the order in which their names came first; a later value wins.
class Environment {
 public:
  void Set(const std::string& variable) {
    const auto [found, added] = places_.emplace(std::string(KeyOf(variable)), variables_.size());
    if (added) {
      variables_.push_back(variable);
    } else {
      variables_[found->second] = variable;
    }
  }
  bool Has(absl::string_view name) const { return places_.contains(name); }
  std::vector<std::string> Take() { return std::move(variables_); }

 private:
  std::vector<std::string> variables_;
  absl::flat_hash_map<std::string, size_t> places_;
};

std::vector<std::string> EnvironmentOf(const ContainerRecord& container, const PodRecord& pod) {
  Environment env;
  env.Set(std::string(kDefaultPath));
  for (const std::string& variable : container.image.env) env.Set(variable);
  if (!pod.config.namespaces.hostname.empty())
    env.Set(absl::StrCat("HOSTNAME=", pod.config.namespaces.hostname));
  if (container.config.tty) env.Set("TERM=xterm");
  for (const std::string& variable : container.config.envs) env.Set(variable);
  if (!env.Has("HOME")) env.Set(absl::StrCat("HOME=", container.image.home));
  return env.Take();
}

std::vector<std::string> CommandOf(const ContainerRecord& container) {
  const ContainerConfig& config = container.config;
  std::vector<std::string> command =
      config.command.empty() ? container.image.entrypoint : config.command;
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
  ASSIGN_OR_RETURN(identity.capabilities, ResolveCapabilities(container.config.add_capabilities,
                                                              container.config.drop_capabilities));
  identity.no_new_privs = container.config.no_new_privs;
  identity.oom_score_adj = container.config.oom_score_adj;
  return identity;
}

struct SignalAlias {
  absl::string_view name;
  int number;
};
// Second names, which sigabbrev_np(3) does not tell.
constexpr SignalAlias kAliases[] = {
    {"CLD", SIGCHLD}, {"IOT", SIGABRT}, {"IO", SIGIO}, {"POLL", SIGPOLL}};

std::optional<int> RealTimeSignal(absl::string_view name) {
  if (name == "RTMIN") return SIGRTMIN;
  if (name == "RTMAX") return SIGRTMAX;
  int offset = 0;
  if (name.size() < 7 || !absl::ascii_isdigit(name[6]) ||
      !absl::SimpleAtoi(name.substr(6), &offset))
    return std::nullopt;
  if (offset > SIGRTMAX - SIGRTMIN) return std::nullopt;
  if (absl::StartsWith(name, "RTMIN+")) return SIGRTMIN + offset;
  if (absl::StartsWith(name, "RTMAX-")) return SIGRTMAX - offset;
  return std::nullopt;
}

// "SIGTERM" or "TERM".
std::optional<int> SignalByName(absl::string_view text) {
  const absl::string_view name = absl::StripPrefix(text, "SIG");
  for (int signal = 1; signal < NSIG; ++signal) {
    const char* known = sigabbrev_np(signal);
    if (known != nullptr && name == known) return signal;
  }
  for (const SignalAlias& alias : kAliases) {
    if (name == alias.name) return alias.number;
  }
  return RealTimeSignal(name);
}

// "//a/./b/" is "/a/b".
std::string CleanPath(absl::string_view path) {
  std::string clean;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part != ".") absl::StrAppend(&clean, "/", part);
  }
  return clean.empty() ? "/" : clean;
}

// Where the mounts of a container go, in their order.
absl::StatusOr<std::vector<std::string>> MountTargets(const std::vector<BindMount>& mounts) {
  std::vector<std::string> targets;
  absl::flat_hash_set<std::string> seen;
  for (const BindMount& mount : mounts) {
    RETURN_IF_ERROR(CheckStrings("mounts", {mount.host_path, mount.container_path}));
    if (mount.container_path.empty() || mount.container_path[0] != '/') {
      return absl::InvalidArgumentError(
          absl::StrCat("mounts: container_path \"", mount.container_path, "\" is not absolute"));
    }
    for (absl::string_view part : absl::StrSplit(mount.container_path, '/')) {
      if (part == "..")
        return absl::InvalidArgumentError(
            absl::StrCat("mounts: container_path ", mount.container_path, " has \"..\""));
    }
    const std::string target = CleanPath(mount.container_path);
    for (const char* forbidden : kForbiddenTargets) {
      if (target == "/" || target == forbidden ||
          absl::StartsWith(target, absl::StrCat(forbidden, "/"))) {
        return absl::InvalidArgumentError(
            absl::StrCat("mounts: nothing may be mounted on ", mount.container_path));
      }
    }
    if (!seen.insert(target).second) {
      return absl::InvalidArgumentError(absl::StrCat("mounts: two are for ", mount.container_path));
    }
    targets.push_back(target);
  }
  return targets;
}

}  // namespace

absl::StatusOr<ContainerSpec> BuildContainerSpec(const ContainerRecord& container,
                                                 const PodRecord& pod) {
  ContainerSpec spec;
  spec.layers = container.image.layers;
  const std::string directory = absl::StrCat("containers/", container.id);
  spec.upper = directory + "/upper";
  spec.work = directory + "/work";
  spec.pod_dir = absl::StrCat("pods/", pod.id);
  spec.args = CommandOf(container);
  if (spec.args.empty() || spec.args[0].empty()) {
    return absl::InvalidArgumentError(absl::StrCat("container ", container.config.name,
                                                   ": no command given, and image ",
                                                   container.image.name, " has none"));
  }
  spec.env = EnvironmentOf(container, pod);
  if (spec.env.size() > kMaxEnv) {
    return absl::InvalidArgumentError(
        absl::StrCat("envs: ", spec.env.size(), " variables, at most ", kMaxEnv, " are allowed"));
  }
  RETURN_IF_ERROR(CheckStrings("command and args", spec.args));
  RETURN_IF_ERROR(CheckStrings("envs", spec.env));
  RETURN_IF_ERROR(CheckStrings("masked_paths", container.config.masked_paths));
  RETURN_IF_ERROR(CheckStrings("readonly_paths", container.config.readonly_paths));
  spec.cwd = WorkingDirOf(container);
  RETURN_IF_ERROR(CheckStrings("working_dir", {spec.cwd}));
  if (spec.cwd[0] != '/') {
    return absl::InvalidArgumentError(
        absl::StrCat("working_dir \"", spec.cwd, "\" is not absolute"));
  }
  ASSIGN_OR_RETURN(spec.identity, IdentityOf(container));
  ASSIGN_OR_RETURN(const std::vector<std::string> targets, MountTargets(container.config.mounts));
  spec.terminal = container.config.tty;
  spec.readonly_rootfs = container.config.readonly_rootfs;
  spec.masked_paths = container.config.masked_paths;
  spec.readonly_paths = container.config.readonly_paths;
  for (size_t i = 0; i < container.config.mounts.size(); ++i) {
    spec.volumes.push_back({.target = targets[i],
                            .fd_index = static_cast<int>(i),
                            .readonly = container.config.mounts[i].readonly});
  }
  return spec;
}

absl::StatusOr<ExecSpec> BuildExecSpec(const ContainerRecord& container, const PodRecord& pod,
                                       const std::vector<std::string>& command) {
  if (command.empty() || command[0].empty())
    return absl::InvalidArgumentError("cmd: no command given");
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
  } else if (const std::optional<int> signal = SignalByName(absl::AsciiStrToUpper(text))) {
    return *signal;
  }
  return absl::InvalidArgumentError(absl::StrCat("stop signal \"", text, "\" does not exist"));
}

}  // namespace berth
