#include "src/nri/messages.h"

#include <sys/mount.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "src/nri/adjustment.h"
#include "src/runtime/rlimits.h"

namespace berth::nri {
namespace {

void PutAll(const std::map<std::string, std::string>& from,
            google::protobuf::Map<std::string, std::string>* to) {
  to->insert(from.begin(), from.end());
}

void PutNamespace(const char* type, int pid, const char* file, api::LinuxPodSandbox* to) {
  api::LinuxNamespace& made = *to->add_namespaces();
  made.set_type(type);
  if (pid > 0) made.set_path(absl::StrCat("/proc/", pid, "/ns/", file));
}

// Those that the pod has of its own: its monitor is in them.
void PutNamespaces(const PodRecord& pod, api::LinuxPodSandbox* to) {
  const PodSpec& namespaces = pod.config.namespaces;
  const int monitor = pod.status.monitor_pid;
  if (namespaces.network == NamespaceMode::kPod) PutNamespace("network", monitor, "net", to);
  if (namespaces.ipc == NamespaceMode::kPod) PutNamespace("ipc", monitor, "ipc", to);
  if (!namespaces.hostname.empty()) PutNamespace("uts", monitor, "uts", to);
  if (namespaces.pid == NamespaceMode::kPod) PutNamespace("pid", monitor, "pid_for_children", to);
}

api::ContainerState StateOf(const ContainerStatus& status) {
  switch (status.state) {
    case ContainerState::kCreated:
      return api::CONTAINER_CREATED;
    case ContainerState::kRunning:
      return api::CONTAINER_RUNNING;
    case ContainerState::kExited:
      return api::CONTAINER_STOPPED;
  }
  return api::CONTAINER_UNKNOWN;
}

void PutSeccomp(const ContainerConfig& config, api::LinuxContainer* to) {
  api::SecurityProfile& profile = *to->mutable_seccomp_profile();
  switch (config.privileged ? SeccompMode::kUnconfined : config.seccomp) {
    case SeccompMode::kUnconfined:
      profile.set_profile_type(api::SecurityProfile::UNCONFINED);
      break;
    case SeccompMode::kRuntimeDefault:
      profile.set_profile_type(api::SecurityProfile::RUNTIME_DEFAULT);
      break;
    case SeccompMode::kLocalhost:
      profile.set_profile_type(api::SecurityProfile::LOCALHOST);
      profile.set_localhost_ref(config.seccomp_path);
      break;
  }
}

// The names of mount(8).
std::vector<std::string> OptionsOf(const MountSpec& mount) {
  std::vector<std::string> options;
  if (mount.kind == MountSpec::Kind::kBind) options.push_back("rbind");
  const struct {
    uint64_t attribute;
    const char* name;
  } names[] = {{MOUNT_ATTR_RDONLY, mount.recursive_attributes ? "rro" : "ro"},
               {MOUNT_ATTR_NOSUID, "nosuid"},
               {MOUNT_ATTR_NODEV, "nodev"},
               {MOUNT_ATTR_NOEXEC, "noexec"}};
  for (const auto& [attribute, name] : names) {
    if ((mount.attributes & attribute) != 0) options.push_back(name);
  }
  options.push_back(mount.propagation == Propagation::kShared  ? "rshared"
                    : mount.propagation == Propagation::kSlave ? "rslave"
                                                               : "rprivate");
  options.insert(options.end(), mount.options.begin(), mount.options.end());
  return options;
}

void PutMount(const MountSpec& mount, api::Container* to) {
  api::Mount& made = *to->add_mounts();
  made.set_destination(mount.target);
  made.set_source(mount.source.empty() ? mount.type : mount.source);
  made.set_type(mount.kind == MountSpec::Kind::kBind     ? "bind"
                : mount.kind == MountSpec::Kind::kCgroup ? "cgroup"
                : mount.kind == MountSpec::Kind::kImage  ? "image"
                                                         : mount.type);
  for (const std::string& option : OptionsOf(mount)) made.add_options(option);
}

void PutDevice(const DeviceSpec& device, api::LinuxContainer* to) {
  api::LinuxDevice& made = *to->add_devices();
  made.set_path(device.path);
  made.set_type(std::string(1, device.type));
  made.set_major(device.major);
  made.set_minor(device.minor);
  made.mutable_file_mode()->set_value(device.mode);
  made.mutable_uid()->set_value(device.uid);
  made.mutable_gid()->set_value(device.gid);
}

void PutHooks(const std::vector<Hook>& from, google::protobuf::RepeatedPtrField<api::Hook>* to) {
  for (const Hook& hook : from) {
    api::Hook& made = *to->Add();
    made.set_path(hook.path);
    made.mutable_args()->Assign(hook.args.begin(), hook.args.end());
    made.mutable_env()->Assign(hook.env.begin(), hook.env.end());
    if (hook.timeout > absl::ZeroDuration())
      made.mutable_timeout()->set_value(absl::ToInt64Seconds(hook.timeout));
  }
}

}  // namespace

api::PodSandbox ToMessage(const PodRecord& pod) {
  api::PodSandbox message;
  message.set_id(pod.id);
  message.set_name(pod.config.name);
  message.set_uid(pod.config.uid);
  message.set_namespace_(pod.config.pod_namespace);
  PutAll(pod.config.labels, message.mutable_labels());
  PutAll(pod.config.annotations, message.mutable_annotations());
  message.set_runtime_handler(pod.config.runtime_handler);
  api::LinuxPodSandbox& linux = *message.mutable_linux();
  *linux.mutable_pod_overhead() = ToResources(pod.status.overhead.value_or(pod.config.overhead));
  *linux.mutable_pod_resources() = ToResources(pod.status.resources.value_or(pod.config.resources));
  linux.set_cgroup_parent(pod.config.cgroup_parent);
  linux.set_cgroups_path(pod.status.cgroup);
  PutNamespaces(pod, &linux);
  if (pod.status.monitor_pid > 0) message.set_pid(static_cast<uint32_t>(pod.status.monitor_pid));
  for (const std::string& ip : pod.status.ips) message.add_ips(ip);
  return message;
}

api::Container ToMessage(const ContainerRecord& container) {
  api::Container message;
  const ContainerStatus& status = container.status;
  message.set_id(container.id);
  message.set_pod_sandbox_id(container.pod_id);
  message.set_name(container.config.name);
  message.set_state(StateOf(status));
  PutAll(container.config.labels, message.mutable_labels());
  PutAll(container.config.annotations, message.mutable_annotations());
  for (const std::string& device : container.config.cdi_devices)
    message.add_cdi_devices()->set_name(device);
  api::LinuxContainer& linux = *message.mutable_linux();
  *linux.mutable_resources() = ToResources(LimitsOf(container));
  if (container.config.oom_score_adj.has_value())
    linux.mutable_oom_score_adj()->set_value(*container.config.oom_score_adj);
  linux.set_cgroups_path(container.cgroup);
  PutSeccomp(container.config, &linux);
  if (status.state == ContainerState::kRunning && status.pid > 0)
    message.set_pid(static_cast<uint32_t>(status.pid));
  message.set_created_at(container.created_at);
  message.set_started_at(status.started_at);
  message.set_finished_at(status.finished_at);
  message.set_exit_code(status.exit_code);
  message.set_status_reason(status.reason);
  message.set_status_message(status.message);
  api::User& user = *message.mutable_user();
  user.set_uid(container.image.uid);
  user.set_gid(container.image.gid);
  user.mutable_additional_gids()->Assign(container.image.groups.begin(),
                                         container.image.groups.end());
  return message;
}

api::Container ToMessage(const ContainerRecord& container, const ContainerSpec& spec) {
  api::Container message = ToMessage(container);
  message.mutable_args()->Assign(spec.args.begin(), spec.args.end());
  message.mutable_env()->Assign(spec.env.begin(), spec.env.end());
  for (const MountSpec& mount : spec.mounts) PutMount(mount, &message);
  PutHooks(spec.hooks.prestart, message.mutable_hooks()->mutable_prestart());
  PutHooks(spec.hooks.create_runtime, message.mutable_hooks()->mutable_create_runtime());
  PutHooks(spec.hooks.create_container, message.mutable_hooks()->mutable_create_container());
  PutHooks(spec.hooks.start_container, message.mutable_hooks()->mutable_start_container());
  PutHooks(spec.hooks.poststart, message.mutable_hooks()->mutable_poststart());
  PutHooks(spec.hooks.poststop, message.mutable_hooks()->mutable_poststop());
  for (const Rlimit& limit : spec.identity.rlimits) {
    api::POSIXRlimit& made = *message.add_rlimits();
    made.set_type(RlimitName(limit.resource));
    made.set_soft(limit.soft);
    made.set_hard(limit.hard);
  }
  for (const DeviceSpec& device : spec.devices) PutDevice(device, message.mutable_linux());
  return message;
}

}  // namespace berth::nri
