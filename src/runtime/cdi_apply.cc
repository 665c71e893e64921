// CDI edits become part of a container.
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/runtime/cdi.h"
#include "src/runtime/mount_options.h"

namespace berth {
namespace {

bool IsBelow(absl::string_view path, absl::string_view directory) {
  return absl::StartsWith(path, directory) && path.size() > directory.size() &&
         path[directory.size()] == '/';
}

absl::StatusOr<MountSpec> MountSpecOf(const CdiMount& cdi) {
  const bool bind = cdi.type.empty() || cdi.type == "bind";
  MountSpec mount{.kind = bind ? MountSpec::Kind::kBind : MountSpec::Kind::kFileSystem,
                  .target = cdi.container_path};
  if (bind) {
    mount.source = cdi.host_path;
    mount.source_must_exist = true;
  } else {
    mount.type = cdi.type;
  }
  // The spec's author is the node's administrator: a path that names procfs or sysfs is meant.
  mount.over_kernel_fs = IsBelow(mount.target, "/proc") || IsBelow(mount.target, "/sys");
  absl::StatusOr<MountOptions> options = ParseMountOptions(cdi.options);
  if (options.ok() && bind && !options->data.empty()) {
    options = absl::InvalidArgumentError(
        absl::StrCat("option \"", EscapeForLog(options->data[0]), "\" is not known"));
  }
  if (!options.ok())
    return Annotate(options.status(), absl::StrCat("CDI mount ", cdi.container_path));
  mount.attributes = options->attributes;
  mount.recursive_attributes = options->recursive;
  mount.propagation = options->propagation;
  mount.options = std::move(options->data);
  return mount;
}

// In front of the mounts that lie below it, which it would cover otherwise.
void PutMount(MountSpec mount, std::vector<MountSpec>* mounts) {
  mounts->erase(std::remove_if(mounts->begin(), mounts->end(),
                               [&](const MountSpec& old) { return old.target == mount.target; }),
                mounts->end());
  const auto at = std::find_if(mounts->begin(), mounts->end(), [&](const MountSpec& old) {
    return IsBelow(old.target, mount.target);
  });
  mounts->insert(at, std::move(mount));
}

bool NeedsHost(const CdiDeviceNode& node) {
  return node.type != 'p' && (node.type == 0 || !node.major.has_value() || !node.minor.has_value());
}

// The host's device at the node's path, or nullptr.
const HostDevice* FindHostDevice(const CdiDeviceNode& node, const CdiEdits& edits,
                                 const std::vector<HostDevice>& host_devices) {
  const std::vector<std::string> paths = CdiHostDevicePaths(edits);
  const auto path = std::find(paths.begin(), paths.end(), node.HostPath());
  for (const HostDevice& device : host_devices) {
    if (device.request == static_cast<size_t>(path - paths.begin()) && device.relative.empty())
      return &device;
  }
  return nullptr;
}

absl::StatusOr<DeviceSpec> DeviceSpecOf(const CdiDeviceNode& node, const HostDevice* host,
                                        const ContainerSpec& spec) {
  DeviceSpec device{.path = node.path, .type = node.type};
  if (host != nullptr) {
    if (node.type != 0 && node.type != host->type) {
      return absl::InvalidArgumentError(
          absl::StrCat("CDI device node ", node.path, ": ", host->path, " is of type ",
                       std::string(1, host->type), ", not ", std::string(1, node.type)));
    }
    device.type = host->type;
    device.major = host->major;
    device.minor = host->minor;
    device.mode = host->mode;
  } else if (NeedsHost(node)) {
    return absl::InvalidArgumentError(absl::StrCat("CDI device node ", node.path, ": ",
                                                   node.HostPath(), " is no device of the host"));
  }
  device.major = node.major.value_or(device.major);
  device.minor = node.minor.value_or(device.minor);
  device.mode = node.mode.value_or(device.mode);
  // As the reference implementation does: without an owner it belongs to the container's user.
  device.uid = node.uid.value_or(spec.identity.uid);
  device.gid = node.gid.value_or(spec.identity.gid);
  return device;
}

}  // namespace

void PutVariable(const std::string& variable, std::vector<std::string>* env) {
  const absl::string_view name = absl::string_view(variable).substr(0, variable.find('=') + 1);
  for (std::string& old : *env) {
    if (absl::StartsWith(old, name)) {
      old = variable;
      return;
    }
  }
  env->push_back(variable);
}

std::vector<std::string> CdiHostDevicePaths(const CdiEdits& edits) {
  std::vector<std::string> paths;
  for (const CdiDeviceNode& node : edits.device_nodes) {
    if (NeedsHost(node) && std::find(paths.begin(), paths.end(), node.HostPath()) == paths.end())
      paths.push_back(node.HostPath());
  }
  return paths;
}

absl::StatusOr<std::vector<DeviceRule>> ApplyCdiEdits(const CdiEdits& edits,
                                                      const CdiTarget& target,
                                                      ContainerSpec* spec) {
  std::vector<DeviceRule> rules;
  for (const CdiDeviceNode& node : edits.device_nodes) {
    const HostDevice* host =
        NeedsHost(node) ? FindHostDevice(node, edits, target.host_devices) : nullptr;
    ASSIGN_OR_RETURN(DeviceSpec device, DeviceSpecOf(node, host, *spec));
    // A fifo needs no mknod(2) privilege, and no rule.
    if (device.type != 'p') {
      if (target.user_namespace) device.source = node.HostPath();
      rules.push_back({.allow = true,
                       .type = device.type,
                       .major = device.major,
                       .minor = device.minor,
                       .access = node.access});
    }
    PutDevice(std::move(device), &spec->devices);
  }
  for (const CdiMount& mount : edits.mounts) {
    ASSIGN_OR_RETURN(MountSpec made, MountSpecOf(mount));
    PutMount(std::move(made), &spec->mounts);
  }
  for (const std::string& variable : edits.env) PutVariable(variable, &spec->env);
  CdiEdits hooks;
  hooks.hooks = std::move(spec->hooks);
  hooks.Append({.hooks = edits.hooks});
  spec->hooks = std::move(hooks.hooks);
  for (const gid_t gid : edits.additional_gids) {
    std::vector<gid_t>& groups = spec->identity.groups;
    if (std::find(groups.begin(), groups.end(), gid) == groups.end()) groups.push_back(gid);
  }
  return rules;
}

}  // namespace berth
