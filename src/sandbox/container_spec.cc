#include "src/sandbox/container_spec.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/image/manifest.h"
#include "src/kernel/signal_name.h"
#include "src/runtime/capabilities.h"
#include "src/runtime/standard_mounts.h"
#include "src/sandbox/container_adjustment.h"
#include "src/sandbox/container_mounts.h"
#include "src/sandbox/mount_points.h"

namespace berth {
namespace {

constexpr absl::string_view kDefaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr size_t kMaxEnv = 10000;

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

// The name a process of the pod sees as the host's.
const std::string& HostnameOf(const PodRecord& pod, const ContainerSpecOptions& options) {
  const std::string& own = pod.config.namespaces.hostname;
  return own.empty() ? options.node_hostname : own;
}

std::vector<std::string> EnvironmentOf(const ContainerRecord& container, const PodRecord& pod,
                                       const ContainerSpecOptions& options) {
  Environment env;
  env.Set(std::string(kDefaultPath));
  for (const std::string& variable : container.image.env) env.Set(variable);
  const std::string& hostname = HostnameOf(pod, options);
  if (!hostname.empty()) env.Set(absl::StrCat("HOSTNAME=", hostname));
  if (container.config.tty) env.Set("TERM=xterm");
  for (const std::string& variable : container.config.envs) env.Set(variable);
  if (!env.Has("HOME")) env.Set(absl::StrCat("HOME=", container.image.home));
  std::vector<std::string> variables = env.Take();
  if (container.adjustment != nullptr) AdjustEnvironment(*container.adjustment, &variables);
  return variables;
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

bool HasAll(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const std::string upper = absl::AsciiStrToUpper(name);
    if (upper == "ALL" || upper == "CAP_ALL") return true;
  }
  return false;
}

// Ambient capabilities have to be permitted and inheritable, too (capabilities(7)).
absl::StatusOr<CapabilitySets> CapabilitiesOf(const ContainerConfig& config) {
  CapabilitySets sets;
  if (config.privileged) {
    ASSIGN_OR_RETURN(sets.permitted, ResolveCapabilities({"ALL"}, {}));
  } else {
    ASSIGN_OR_RETURN(sets.permitted,
                     ResolveCapabilities(config.add_capabilities, config.drop_capabilities));
  }
  if (HasAll(config.ambient_capabilities)) {
    ASSIGN_OR_RETURN(sets.ambient, ResolveCapabilities({"ALL"}, {}));
  } else {
    ASSIGN_OR_RETURN(sets.ambient, ResolveCapabilities(config.ambient_capabilities, {"ALL"}));
  }
  sets.permitted |= sets.ambient;
  sets.bounding = sets.effective = sets.permitted;
  sets.inheritable = sets.ambient;
  return sets;
}

absl::StatusOr<ProcessIdentity> IdentityOf(const ContainerRecord& container,
                                           const ContainerSpecOptions& options) {
  ProcessIdentity identity{.uid = container.image.uid, .gid = container.image.gid};
  identity.groups.assign(container.image.groups.begin(), container.image.groups.end());
  ASSIGN_OR_RETURN(identity.caps, CapabilitiesOf(container.config));
  identity.no_new_privs = container.config.no_new_privs;
  identity.oom_score_adj = container.config.oom_score_adj;
  identity.rlimits = options.rlimits;
  if (container.adjustment != nullptr) AdjustIdentity(*container.adjustment, &identity);
  return identity;
}

absl::Status FillProcess(const ContainerRecord& container, const PodRecord& pod,
                         const ContainerSpecOptions& options, ContainerSpec* spec) {
  spec->args = CommandOf(container);
  if (spec->args.empty() || spec->args[0].empty()) {
    return absl::InvalidArgumentError(absl::StrCat("container ", container.config.name,
                                                   ": no command given, and image ",
                                                   container.image.name, " has none"));
  }
  spec->env = EnvironmentOf(container, pod, options);
  if (spec->env.size() > kMaxEnv) {
    return absl::InvalidArgumentError(
        absl::StrCat("envs: ", spec->env.size(), " variables, at most ", kMaxEnv, " are allowed"));
  }
  RETURN_IF_ERROR(CheckStrings("command and args", spec->args));
  RETURN_IF_ERROR(CheckStrings("envs", spec->env));
  spec->cwd = WorkingDirOf(container);
  RETURN_IF_ERROR(CheckStrings("working_dir", {spec->cwd}));
  if (spec->cwd[0] != '/') {
    return absl::InvalidArgumentError(
        absl::StrCat("working_dir \"", spec->cwd, "\" is not absolute"));
  }
  ASSIGN_OR_RETURN(spec->identity, IdentityOf(container, options));
  spec->terminal = container.config.tty;
  spec->stdin_open = container.config.stdin_open;
  return absl::OkStatus();
}

// A privileged container sees all of the kernel's files as they are.
absl::Status FillKernelView(const ContainerConfig& config, const PodSpec& pod,
                            ContainerSpec* spec) {
  spec->namespaces.user = pod.user;
  // Root of a user namespace can mount the hierarchies of a cgroup namespace that it owns only.
  spec->namespaces.private_cgroup = !config.privileged || !pod.user.IsNode();
  spec->devices = StandardDevices(!pod.user.IsNode());
  RETURN_IF_ERROR(CheckStrings("masked_paths", config.masked_paths));
  RETURN_IF_ERROR(CheckStrings("readonly_paths", config.readonly_paths));
  if (config.privileged) return absl::OkStatus();
  spec->masked_paths = config.masked_paths;
  spec->readonly_paths = config.readonly_paths;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ContainerSpec> BuildContainerSpec(const ContainerRecord& container,
                                                 const PodRecord& pod,
                                                 const ContainerSpecOptions& options) {
  ContainerSpec spec;
  spec.layers = container.image.layers;
  if (options.mount_points && spec.layers.size() < kMaxLayers)
    spec.layers.insert(spec.layers.begin(), kMountPoints);
  const std::string directory = absl::StrCat("containers/", container.id);
  spec.upper = directory + "/upper";
  spec.work = directory + "/work";
  spec.pod_dir = absl::StrCat("pods/", pod.id);
  spec.readonly_rootfs = container.config.readonly_rootfs;
  RETURN_IF_ERROR(FillProcess(container, pod, options, &spec));
  RETURN_IF_ERROR(FillKernelView(container.config, pod.config.namespaces, &spec));
  RETURN_IF_ERROR(FillMounts(container, pod, options.data_dir, &spec));
  return spec;
}

absl::StatusOr<ExecSpec> BuildExecSpec(const ContainerRecord& container, const PodRecord& pod,
                                       const std::vector<std::string>& command,
                                       const ContainerSpecOptions& options) {
  if (command.empty() || command[0].empty())
    return absl::InvalidArgumentError("cmd: no command given");
  RETURN_IF_ERROR(CheckStrings("cmd", command));
  ExecSpec spec;
  spec.args = command;
  spec.env = EnvironmentOf(container, pod, options);
  spec.cwd = WorkingDirOf(container);
  ASSIGN_OR_RETURN(spec.identity, IdentityOf(container, options));
  spec.user_namespace = !pod.config.namespaces.user.IsNode();
  return spec;
}

absl::StatusOr<int> ParseStopSignal(absl::string_view text) {
  if (text.empty()) return 0;
  absl::StatusOr<int> signal = ParseSignal(text);
  if (!signal.ok())
    return absl::InvalidArgumentError(absl::StrCat("stop ", signal.status().message()));
  return signal;
}

CgroupLimits MergeLimits(CgroupLimits limits, const CgroupLimits& changes) {
  // A swap limit includes the memory limit: a new memory limit alone ends the old swap limit.
  if (changes.memory_bytes.has_value()) limits.memory_swap_bytes.reset();
  return OverriddenLimits(std::move(limits), changes);
}

}  // namespace berth
