// What a container's spec takes from the node's files: devices, CDI, hooks, the seccomp profile and
// the volumes.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/kernel/apparmor.h"
#include "src/kernel/selinux.h"
#include "src/runtime/hooks.h"
#include "src/runtime/host_devices.h"
#include "src/runtime/volumes.h"
#include "src/sandbox/container_adjustment.h"
#include "src/sandbox/node.h"

namespace berth {
namespace {

constexpr absl::Duration kVolumeTimeout = absl::Seconds(30);

bool IsOfTheHost(const MountSpec& mount) {
  return mount.kind == MountSpec::Kind::kBind && mount.view_path.empty() && !mount.source.empty();
}

// mount_namespaces(7): a slave needs a master, and a peer a group.
absl::Status CheckPropagation(const MountSpec& mount, const OpenedVolume& volume) {
  if (mount.propagation == Propagation::kShared && !volume.shared) {
    return absl::InvalidArgumentError(
        absl::StrCat("mounts[", mount.target, "].propagation: ", mount.source,
                     " is not on a shared mount, which BIDIRECTIONAL needs"));
  }
  if (mount.propagation == Propagation::kSlave && !volume.shared && !volume.slave) {
    return absl::InvalidArgumentError(
        absl::StrCat("mounts[", mount.target, "].propagation: ", mount.source,
                     " is on neither a shared nor a slave mount, which HOST_TO_CONTAINER needs"));
  }
  return absl::OkStatus();
}

}  // namespace

ContainerSpecOptions Node::SpecOptions() const {
  return {.data_dir = options_.data_dir,
          .node_hostname = node_hostname_,
          .rlimits = options_.rlimits,
          .cgroup_v2 = facts_.cgroup_v2,
          .mount_points = has_mount_points_};
}

absl::Status Node::PrepareDevices(const ContainerRecord& container,
                                  PreparedContainer* prepared) const {
  const bool user_namespace = !prepared->spec.namespaces.user.IsNode();
  std::vector<DeviceSpec>& devices = prepared->spec.devices;
  std::vector<DeviceRule>& rules = prepared->device_rules;
  if (container.config.privileged) {
    rules.push_back({.allow = true, .type = 'a'});
    ASSIGN_OR_RETURN(const std::vector<HostDevice> all,
                     PrivilegedDevices(monitor_executable_.get(), kVolumeTimeout));
    for (const HostDevice& device : all)
      PutDevice(DeviceSpecOf(device, "/dev", user_namespace), &devices);
  }
  const std::vector<DeviceRequest>& requests = container.config.devices;
  std::vector<std::string> paths;
  for (const DeviceRequest& request : requests) paths.push_back(request.host_path);
  if (!paths.empty()) {
    ASSIGN_OR_RETURN(const std::vector<HostDevice> found,
                     DescribeHostDevices(monitor_executable_.get(), paths, kVolumeTimeout));
    for (const HostDevice& device : found) {
      const DeviceRequest& request = requests[device.request];
      PutDevice(DeviceSpecOf(device, request.container_path, user_namespace), &devices);
      rules.push_back(DeviceRuleOf(device, request.access));
    }
  }
  std::vector<std::string> cdi_devices = container.config.cdi_devices;
  if (container.adjustment != nullptr) {
    const std::vector<std::string>& more = container.adjustment->cdi_devices;
    cdi_devices.insert(cdi_devices.end(), more.begin(), more.end());
  }
  if (cdi_devices.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const CdiEdits edits, cdi_.Resolve(cdi_devices));
  CdiTarget target{.user_namespace = user_namespace};
  const std::vector<std::string> host_paths = CdiHostDevicePaths(edits);
  if (!host_paths.empty()) {
    ASSIGN_OR_RETURN(target.host_devices,
                     DescribeHostDevices(monitor_executable_.get(), host_paths, kVolumeTimeout));
  }
  ASSIGN_OR_RETURN(const std::vector<DeviceRule> more,
                   ApplyCdiEdits(edits, target, &prepared->spec));
  rules.insert(rules.end(), more.begin(), more.end());
  return absl::OkStatus();
}

absl::Status Node::PrepareAdjustment(const ContainerRecord& container,
                                     PreparedContainer* prepared) {
  if (container.adjustment == nullptr) return absl::OkStatus();
  RETURN_IF_ERROR(CheckHooks(container.adjustment->edits.hooks));
  ASSIGN_OR_RETURN(
      const std::vector<DeviceRule> rules,
      AdjustSpec(*container.adjustment,
                 {.host_devices = {}, .user_namespace = !prepared->spec.namespaces.user.IsNode()},
                 &prepared->spec));
  prepared->device_rules.insert(prepared->device_rules.end(), rules.begin(), rules.end());
  return absl::OkStatus();
}

absl::Status Node::PrepareHooks(const ContainerRecord& container,
                                PreparedContainer* prepared) const {
  ContainerSpec& spec = prepared->spec;
  ASSIGN_OR_RETURN(
      const Hooks selected,
      SelectHooks(options_.hook_dirs, {.annotations = container.config.annotations,
                                       .command = spec.args[0],
                                       .has_bind_mounts = std::any_of(
                                           spec.mounts.begin(), spec.mounts.end(), IsOfTheHost)}));
  const auto append = [](const std::vector<Hook>& from, std::vector<Hook>* to) {
    to->insert(to->end(), from.begin(), from.end());
  };
  append(selected.prestart, &spec.hooks.prestart);
  append(selected.create_runtime, &spec.hooks.create_runtime);
  append(selected.create_container, &spec.hooks.create_container);
  append(selected.start_container, &spec.hooks.start_container);
  append(selected.poststart, &spec.hooks.poststart);
  append(selected.poststop, &spec.hooks.poststop);
  OciState state{.id = container.id,
                 .status = "creating",
                 .bundle = BundleDir(container.id),
                 .annotations = container.config.annotations};
  if (!spec.hooks.create_container.empty()) {
    spec.host_view = HostView{.bundle = state.bundle};
    spec.creating_state = OciStateJson(state);
  }
  state.status = "created";
  if (!spec.hooks.start_container.empty()) spec.created_state = OciStateJson(state);
  return absl::OkStatus();
}

// The same for a container's first process and for an exec in it.
absl::Status Node::PrepareConfinement(const ContainerRecord& container, const PodRecord& pod,
                                      ProcessIdentity* identity, std::string* mount_label) const {
  const ContainerConfig& config = container.config;
  ASSIGN_OR_RETURN(identity->apparmor, ResolveAppArmor({.kind = config.apparmor,
                                                        .profile = config.apparmor_profile,
                                                        .privileged = config.privileged},
                                                       lsm_));
  const SelinuxLabel& label = config.selinux.IsEmpty() ? pod.config.selinux : config.selinux;
  ASSIGN_OR_RETURN(const SelinuxLabels labels,
                   ResolveSelinux(label, pod.status.selinux_level, config.privileged, lsm_));
  identity->selinux = labels.process;
  *mount_label = labels.mount;
  if (config.privileged) return absl::OkStatus();
  const uint64_t capabilities = identity->caps.permitted;
  switch (config.seccomp) {
    case SeccompMode::kUnconfined:
      break;
    case SeccompMode::kRuntimeDefault: {
      ASSIGN_OR_RETURN(identity->program, seccomp_.Default(capabilities));
      break;
    }
    case SeccompMode::kLocalhost: {
      ASSIGN_OR_RETURN(identity->program, seccomp_.Localhost(config.seccomp_path, capabilities));
      break;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Node::PreparedContainer> Node::PrepareContainer(const ContainerRecord& container,
                                                               const PodRecord& pod) const {
  PreparedContainer prepared;
  ASSIGN_OR_RETURN(prepared.spec, BuildContainerSpec(container, pod, SpecOptions()));
  prepared.spec.namespaces.own_pid = container.config.pid == NamespaceMode::kContainer;
  RETURN_IF_ERROR(PrepareDevices(container, &prepared));
  RETURN_IF_ERROR(PrepareAdjustment(container, &prepared));
  RETURN_IF_ERROR(PrepareHooks(container, &prepared));
  RETURN_IF_ERROR(
      PrepareConfinement(container, pod, &prepared.spec.identity, &prepared.spec.mount_label));
  return prepared;
}

std::vector<VolumePath> NumberVolumes(ContainerSpec* spec) {
  std::vector<VolumePath> paths;
  for (MountSpec& mount : spec->mounts) {
    if (!IsOfTheHost(mount)) continue;
    mount.fd_index = static_cast<int>(paths.size());
    paths.push_back({.path = mount.source, .make = !mount.source_must_exist});
  }
  for (DeviceSpec& device : spec->devices) {
    if (device.source.empty()) continue;
    device.fd_index = static_cast<int>(paths.size());
    paths.push_back({.path = device.source, .make = false});
  }
  return paths;
}

absl::Status Node::OpenContainerVolumes(PreparedContainer* prepared) const {
  ASSIGN_OR_RETURN(
      std::vector<OpenedVolume> opened,
      OpenVolumes(monitor_executable_.get(), NumberVolumes(&prepared->spec), kVolumeTimeout));
  for (MountSpec& mount : prepared->spec.mounts) {
    if (mount.fd_index < 0) continue;
    const OpenedVolume& volume = opened[static_cast<size_t>(mount.fd_index)];
    RETURN_IF_ERROR(CheckPropagation(mount, volume));
    mount.is_directory = volume.is_directory;
    if (mount.relabel && !prepared->spec.mount_label.empty()) {
      RETURN_IF_ERROR(RelabelTree(volume.tree.get(), mount.source, prepared->spec.mount_label));
    }
  }
  for (OpenedVolume& volume : opened) {
    prepared->volumes.push_back(std::move(volume.tree));
    prepared->volume_attributes.push_back(volume.attributes);
  }
  return absl::OkStatus();
}

}  // namespace berth
