#include "src/server/convert/requests.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"
#include "src/sandbox/container_spec.h"

namespace berth {
namespace {

namespace cri = runtime::v1;

constexpr size_t kMaxHostname = 64;  // sethostname(2)
constexpr size_t kMaxName = 253;

absl::Status Refused(absl::string_view field, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", why));
}

absl::Status NotServed(absl::string_view field) {
  return Refused(field, "is not supported by this version of Berth");
}

// Names end up in files, logs and terminals: no control characters, a sane length.
absl::Status CheckText(absl::string_view field, const std::string& text, size_t max) {
  if (text.size() > max) return Refused(field, absl::StrCat("longer than ", max, " bytes"));
  const bool clean = std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
  });
  return clean ? absl::OkStatus() : Refused(field, "has a control character");
}

// Serialised so that equal requests give equal bytes (maps in key order).
std::string DeterministicBytes(const google::protobuf::Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

std::vector<std::string> Strings(const google::protobuf::RepeatedPtrField<std::string>& from) {
  return {from.begin(), from.end()};
}

absl::StatusOr<NamespaceMode> ParseMode(absl::string_view field, cri::NamespaceMode mode) {
  switch (mode) {
    case cri::POD:
      return NamespaceMode::kPod;
    case cri::CONTAINER:
      return NamespaceMode::kContainer;
    case cri::NODE:
      return NamespaceMode::kNode;
    case cri::TARGET:
      return NotServed(absl::StrCat(field, "=TARGET"));
    default:
      return Refused(field, absl::StrCat("unknown mode ", static_cast<int>(mode)));
  }
}

absl::Status CheckSharedMode(absl::string_view field, NamespaceMode mode) {
  if (mode == NamespaceMode::kContainer)
    return Refused(field, "CONTAINER is not possible: it is the pod's");
  return absl::OkStatus();
}

absl::Status CheckTarget(const cri::NamespaceOption& options) {
  if (options.target_id().empty()) return absl::OkStatus();
  return Refused("namespace_options.target_id", "is only for mode TARGET");
}

absl::Status CheckUserNamespace(const cri::NamespaceOption& options) {
  if (!options.has_userns_options()) return absl::OkStatus();
  const cri::UserNamespace& user = options.userns_options();
  if (user.mode() != cri::NODE) return NotServed("userns_options.mode other than NODE");
  if (user.uids_size() != 0 || user.gids_size() != 0)
    return Refused("userns_options", "mode NODE takes no mappings");
  return absl::OkStatus();
}

absl::StatusOr<PodSpec> ParsePodNamespaces(const cri::PodSandboxConfig& config) {
  PodSpec spec;
  const cri::NamespaceOption& options = config.linux().security_context().namespace_options();
  ASSIGN_OR_RETURN(spec.network, ParseMode("namespace_options.network", options.network()));
  ASSIGN_OR_RETURN(spec.pid, ParseMode("namespace_options.pid", options.pid()));
  ASSIGN_OR_RETURN(spec.ipc, ParseMode("namespace_options.ipc", options.ipc()));
  RETURN_IF_ERROR(CheckSharedMode("namespace_options.network", spec.network));
  RETURN_IF_ERROR(CheckSharedMode("namespace_options.ipc", spec.ipc));
  RETURN_IF_ERROR(CheckTarget(options));
  RETURN_IF_ERROR(CheckUserNamespace(options));
  RETURN_IF_ERROR(CheckText("hostname", config.hostname(), kMaxHostname));
  if (config.hostname().find('/') != std::string::npos) return Refused("hostname", "has a '/'");
  spec.hostname = config.hostname();
  return spec;
}

absl::Status CheckSelinux(const cri::SELinuxOption& label) {
  if (label.user().empty() && label.role().empty() && label.type().empty() && label.level().empty())
    return absl::OkStatus();
  return Refused("security_context.selinux_options",
                 "SELinux labels are not supported by this version of Berth");
}

absl::Status CheckApparmor(const cri::SecurityProfile& profile) {
  if (profile.profile_type() == cri::SecurityProfile::Localhost) {
    return NotServed("security_context.apparmor.profile_type=Localhost");
  }
  if (!profile.localhost_ref().empty()) {
    return Refused("security_context.apparmor.localhost_ref", "is only for profile_type Localhost");
  }
  return absl::OkStatus();
}

absl::Status CheckPodSecurity(const cri::LinuxSandboxSecurityContext& security) {
  if (security.privileged()) return NotServed("security_context.privileged");
  RETURN_IF_ERROR(CheckSelinux(security.selinux_options()));
  if (security.seccomp().profile_type() == cri::SecurityProfile::Localhost) {
    return NotServed("security_context.seccomp.profile_type=Localhost");
  }
  RETURN_IF_ERROR(CheckApparmor(security.apparmor()));
  if (security.has_run_as_group() && !security.has_run_as_user()) {
    return Refused("security_context.run_as_group", "needs run_as_user");
  }
  return absl::OkStatus();
}

// Only sysctls of namespaces that are the pod's own: all others are the node's (sysctl(8),
// namespaces(7)).
absl::Status CheckSysctl(const std::string& name, const std::string& value, const PodSpec& pod) {
  constexpr const char* kIpc[] = {"kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."};
  const std::string field = absl::StrCat("linux.sysctls[", name, "]");
  RETURN_IF_ERROR(CheckText("linux.sysctls", name, kMaxName));
  RETURN_IF_ERROR(CheckText(field, value, kMaxName));
  if (name.find('/') != std::string::npos || name.find("..") != std::string::npos)
    return Refused(field, "is not a dotted name");
  const bool network = absl::StartsWith(name, "net.");
  const bool ipc = std::any_of(std::begin(kIpc), std::end(kIpc),
                               [&](const char* each) { return absl::StartsWith(name, each); });
  if (!network && !ipc) return Refused(field, "is not a sysctl of a pod's own namespaces");
  if (network && pod.network != NamespaceMode::kPod)
    return Refused(field, "the pod has the node's network namespace");
  if (ipc && pod.ipc != NamespaceMode::kPod)
    return Refused(field, "the pod has the node's IPC namespace");
  return absl::OkStatus();
}

absl::Status CheckCgroupParent(const std::string& parent) {
  if (parent.empty()) return absl::OkStatus();
  if (parent[0] != '/') return Refused("cgroup_parent", "is not absolute");
  for (absl::string_view part : absl::StrSplit(parent, '/', absl::SkipEmpty())) {
    if (part == "." || part == "..") return Refused("cgroup_parent", "has \"..\" in it");
  }
  if (absl::EndsWith(parent, ".slice")) {
    return Refused("cgroup_parent",
                   absl::StrCat(parent, " is a systemd slice, but the cgroup driver is cgroupfs"));
  }
  return CheckText("cgroup_parent", parent, 4000);
}

absl::StatusOr<DnsConfig> ParseDns(const cri::DNSConfig& dns) {
  for (const auto* list : {&dns.servers(), &dns.searches(), &dns.options()}) {
    for (const std::string& text : *list) RETURN_IF_ERROR(CheckText("dns_config", text, 256));
  }
  return DnsConfig{Strings(dns.servers()), Strings(dns.searches()), Strings(dns.options())};
}

absl::StatusOr<CgroupLimits> ParseResources(const cri::LinuxContainerResources& resources) {
  CgroupLimits limits;
  if (resources.memory_limit_in_bytes() < 0)
    return Refused("resources.memory_limit_in_bytes", "is negative");
  if (resources.memory_limit_in_bytes() > 0) {
    limits.memory_bytes = resources.memory_limit_in_bytes();
    if (resources.memory_swap_limit_in_bytes() != 0)
      limits.memory_swap_bytes = resources.memory_swap_limit_in_bytes();
  }
  if (resources.cpu_shares() > 0)
    limits.cpu_shares = std::clamp<int64_t>(resources.cpu_shares(), 2, 262144);
  if (resources.cpu_period() > 0) limits.cpu_period_us = resources.cpu_period();
  if (resources.cpu_quota() != 0) limits.cpu_quota_us = resources.cpu_quota();
  limits.cpuset_cpus = resources.cpuset_cpus();
  limits.cpuset_mems = resources.cpuset_mems();
  for (const cri::HugepageLimit& hugepage : resources.hugepage_limits()) {
    limits.hugepages[hugepage.page_size()] = hugepage.limit();
  }
  limits.unified.insert(resources.unified().begin(), resources.unified().end());
  return limits;
}

absl::Status CheckMount(const cri::Mount& mount) {
  const std::string field = absl::StrCat("mounts[", mount.container_path(), "]");
  if (mount.has_image()) return NotServed(field + ".image");
  if (!mount.image_sub_path().empty()) return NotServed(field + ".image_sub_path");
  if (mount.propagation() != cri::PROPAGATION_PRIVATE)
    return NotServed(field + ".propagation other than PRIVATE");
  if (mount.recursive_read_only()) {
    return absl::InvalidArgumentError(
        absl::StrCat("RROUnsupported: ", field,
                     ".recursive_read_only is not supported by this version of Berth"));
  }
  if (mount.uidmappings_size() != 0 || mount.gidmappings_size() != 0)
    return NotServed(field + ".uidMappings and gidMappings");
  if (mount.mount_options_size() != 0) return NotServed(field + ".mount_options");
  if (mount.host_path().empty() || mount.host_path()[0] != '/')
    return Refused(field + ".host_path", "is not absolute");
  RETURN_IF_ERROR(CheckText(field + ".host_path", mount.host_path(), 4000));
  return CheckText(field + ".container_path", mount.container_path(), 4000);
}

absl::StatusOr<int> ParseSignal(cri::Signal signal) {
  if (signal == cri::SIGNAL_RUNTIME_DEFAULT) return 0;
  std::string name = cri::Signal_Name(signal);
  if (name.empty())
    return Refused("stop_signal", absl::StrCat("unknown value ", static_cast<int>(signal)));
  name = absl::StrReplaceAll(name, {{"SIGNAL_", ""}, {"PLUS", "+"}, {"MINUS", "-"}});
  return ParseStopSignal(name);
}

absl::Status ParseSecurity(const cri::LinuxContainerSecurityContext& security,
                           ContainerConfig* config) {
  if (security.privileged()) return NotServed("security_context.privileged");
  RETURN_IF_ERROR(CheckSelinux(security.selinux_options()));
  RETURN_IF_ERROR(CheckApparmor(security.apparmor()));
  const cri::NamespaceOption& options = security.namespace_options();
  ASSIGN_OR_RETURN(config->pid, ParseMode("namespace_options.pid", options.pid()));
  RETURN_IF_ERROR(CheckTarget(options));
  RETURN_IF_ERROR(CheckUserNamespace(options));
  if (security.capabilities().add_ambient_capabilities_size() != 0)
    return NotServed("capabilities.add_ambient_capabilities");
  config->add_capabilities = Strings(security.capabilities().add_capabilities());
  config->drop_capabilities = Strings(security.capabilities().drop_capabilities());
  if (security.has_run_as_user()) config->user.run_as_user = security.run_as_user().value();
  if (security.has_run_as_group()) config->user.run_as_group = security.run_as_group().value();
  config->user.run_as_username = security.run_as_username();
  if (security.has_run_as_group() && !security.has_run_as_user() &&
      security.run_as_username().empty()) {
    return Refused("security_context.run_as_group", "needs run_as_user or run_as_username");
  }
  config->user.supplemental_groups = {security.supplemental_groups().begin(),
                                      security.supplemental_groups().end()};
  config->user.strict_groups = security.supplemental_groups_policy() == cri::Strict;
  config->readonly_rootfs = security.readonly_rootfs();
  config->no_new_privs = security.no_new_privs();
  config->masked_paths = Strings(security.masked_paths());
  config->readonly_paths = Strings(security.readonly_paths());
  for (const auto* list : {&config->masked_paths, &config->readonly_paths}) {
    for (const std::string& path : *list) {
      if (path.empty() || path[0] != '/')
        return Refused("security_context.masked_paths and readonly_paths",
                       "a path is not absolute");
    }
  }
  if (security.has_seccomp()) {
    switch (security.seccomp().profile_type()) {
      case cri::SecurityProfile::RuntimeDefault:
        config->seccomp = SeccompMode::kRuntimeDefault;
        break;
      case cri::SecurityProfile::Unconfined:
        break;
      default:
        return NotServed("security_context.seccomp.profile_type=Localhost");
    }
    if (!security.seccomp().localhost_ref().empty()) {
      return Refused("security_context.seccomp.localhost_ref",
                     "is only for profile_type Localhost");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ParsedPod> ParsePodRequest(const cri::RunPodSandboxRequest& request) {
  const cri::PodSandboxConfig& from = request.config();
  ParsedPod parsed;
  PodConfig& config = parsed.config;
  if (!request.runtime_handler().empty()) {
    return Refused("runtime_handler",
                   absl::StrCat("\"", request.runtime_handler(), "\" is not configured"));
  }
  if (from.metadata().name().empty()) return Refused("metadata.name", "is empty");
  config.name = from.metadata().name();
  config.uid = from.metadata().uid();
  config.pod_namespace = from.metadata().namespace_();
  config.attempt = from.metadata().attempt();
  RETURN_IF_ERROR(CheckText("metadata.name", config.name, kMaxName));
  RETURN_IF_ERROR(CheckText("metadata.uid", config.uid, kMaxName));
  RETURN_IF_ERROR(CheckText("metadata.namespace", config.pod_namespace, kMaxName));
  ASSIGN_OR_RETURN(config.namespaces, ParsePodNamespaces(from));
  config.log_directory = from.log_directory();
  if (!config.log_directory.empty() && config.log_directory[0] != '/')
    return Refused("log_directory", "is not absolute");
  RETURN_IF_ERROR(CheckText("log_directory", config.log_directory, 4000));
  if (from.has_dns_config()) {
    ASSIGN_OR_RETURN(config.dns, ParseDns(from.dns_config()));
  }
  for (const cri::PortMapping& port : from.port_mappings()) {
    if (port.host_port() > 0 && config.namespaces.network != NamespaceMode::kNode)
      return NotServed("port_mappings.host_port");
  }
  for (const auto& [name, value] : from.linux().sysctls()) {
    RETURN_IF_ERROR(CheckSysctl(name, value, config.namespaces));
    config.namespaces.sysctls[name] = value;
  }
  RETURN_IF_ERROR(CheckPodSecurity(from.linux().security_context()));
  RETURN_IF_ERROR(CheckCgroupParent(from.linux().cgroup_parent()));
  config.cgroup_parent = from.linux().cgroup_parent();
  parsed.request = PodRequestPtr(std::make_shared<cri::RunPodSandboxRequest>(request));
  parsed.bytes = DeterministicBytes(request);
  return parsed;
}

absl::StatusOr<ParsedContainer> ParseContainerRequest(const cri::CreateContainerRequest& request) {
  const cri::ContainerConfig& from = request.config();
  ParsedContainer parsed;
  ContainerConfig& config = parsed.config;
  if (from.metadata().name().empty()) return Refused("metadata.name", "is empty");
  RETURN_IF_ERROR(CheckText("metadata.name", from.metadata().name(), kMaxName));
  config.name = from.metadata().name();
  config.attempt = from.metadata().attempt();
  config.image = from.image().image();
  if (config.image.empty()) return Refused("image.image", "is empty");
  config.command = Strings(from.command());
  config.args = Strings(from.args());
  config.working_dir = from.working_dir();
  for (const cri::KeyValue& env : from.envs()) {
    if (env.key().empty() || env.key().find('=') != std::string::npos) {
      return Refused("envs", absl::StrCat("\"", env.key(), "\" cannot be the name of a variable"));
    }
    config.envs.push_back(absl::StrCat(env.key(), "=", env.value()));
  }
  for (const cri::Mount& mount : from.mounts()) {
    RETURN_IF_ERROR(CheckMount(mount));
    config.mounts.push_back({mount.host_path(), mount.container_path(), mount.readonly()});
  }
  if (from.devices_size() != 0) return NotServed("devices");
  if (from.cdi_devices_size() != 0) return NotServed("CDI_devices");
  if (from.stdin() || from.stdin_once()) return NotServed("stdin");
  config.log_path = from.log_path();
  for (absl::string_view part : absl::StrSplit(config.log_path, '/')) {
    if (part == "..") return Refused("log_path", "has \"..\" in it");
  }
  RETURN_IF_ERROR(CheckText("log_path", config.log_path, 4000));
  config.tty = from.tty();
  ASSIGN_OR_RETURN(config.stop_signal, ParseSignal(from.stop_signal()));
  RETURN_IF_ERROR(ParseSecurity(from.linux().security_context(), &config));
  ASSIGN_OR_RETURN(config.limits, ParseResources(from.linux().resources()));
  const int64_t score = from.linux().resources().oom_score_adj();
  if (score < -1000 || score > 1000)
    return Refused("resources.oom_score_adj", "is not within -1000..1000");
  config.oom_score_adj = static_cast<int>(score);
  auto stored = std::make_shared<cri::CreateContainerRequest>(request);
  stored->clear_sandbox_config();  // the pod has its own
  parsed.bytes = DeterministicBytes(*stored);
  parsed.request = ContainerRequestPtr(std::move(stored));
  return parsed;
}

RegistryAuth ParseAuth(const cri::AuthConfig& auth) {
  RegistryAuth parsed{.username = auth.username(),
                      .password = auth.password(),
                      .identity_token = auth.identity_token(),
                      .registry_token = auth.registry_token(),
                      .server_address = auth.server_address()};
  std::string decoded;
  if (parsed.username.empty() && !auth.auth().empty() &&
      absl::Base64Unescape(auth.auth(), &decoded)) {
    const size_t colon = decoded.find(':');
    parsed.username = decoded.substr(0, colon);
    if (colon != std::string::npos) parsed.password = decoded.substr(colon + 1);
    parsed.password.erase(std::find(parsed.password.begin(), parsed.password.end(), '\0'),
                          parsed.password.end());
  }
  return parsed;
}

RequestParsers StoredRequestParsers() {
  return {.pod = [](absl::string_view bytes) -> absl::StatusOr<ParsedPod> {
            cri::RunPodSandboxRequest request;
            if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
              return absl::DataLossError("stored pod request: not a RunPodSandboxRequest");
            }
            return ParsePodRequest(request);
          },
          .container = [](absl::string_view bytes) -> absl::StatusOr<ParsedContainer> {
            cri::CreateContainerRequest request;
            if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
              return absl::DataLossError("stored container request: not a CreateContainerRequest");
            }
            return ParseContainerRequest(request);
          }};
}

const cri::RunPodSandboxRequest& RequestOf(const PodRecord& pod) {
  return **std::any_cast<PodRequestPtr>(&pod.request);
}

const cri::CreateContainerRequest& RequestOf(const ContainerRecord& container) {
  return **std::any_cast<ContainerRequestPtr>(&container.request);
}

}  // namespace berth
