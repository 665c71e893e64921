#include "src/server/convert/pod_request.h"

#include <arpa/inet.h>
#include <limits.h>

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"
#include "src/sandbox/network/pod_bandwidth.h"
#include "src/server/convert/namespace_request.h"
#include "src/server/convert/resources_request.h"
#include "src/server/convert/security_request.h"
#include "src/server/convert/text_check.h"

namespace berth {

namespace cri = runtime::v1;
namespace {

constexpr size_t kMaxHostname = 64;   // sethostname(2)
constexpr size_t kMaxDnsEntry = 256;  // resolv.conf(5)
constexpr int32_t kMaxPort = 65535;

bool IsIpAddress(const std::string& text) {
  std::array<unsigned char, 16> bytes;
  if (text.find('\0') != std::string::npos) return false;
  return ::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1;
}

absl::Status CheckMetadata(const cri::PodSandboxMetadata& metadata) {
  if (metadata.name().empty()) return Refused("metadata.name", "is empty");
  RETURN_IF_ERROR(CheckText("metadata.name", metadata.name(), kMaxName));
  RETURN_IF_ERROR(CheckText("metadata.uid", metadata.uid(), kMaxName));
  return CheckText("metadata.namespace", metadata.namespace_(), kMaxName);
}

// Only sysctls of namespaces that are the pod's own: all others are the node's (sysctl(8),
// namespaces(7)).
absl::Status CheckSysctl(const std::string& name, const std::string& value,
                         const cri::NamespaceOption& options) {
  constexpr const char* kIpc[] = {"kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."};
  RETURN_IF_ERROR(CheckText("linux.sysctls", name, kMaxName));
  const std::string field = absl::StrCat("linux.sysctls[", name, "]");
  RETURN_IF_ERROR(CheckText(field, value, kMaxName));
  if (name.find('/') != std::string::npos || name.find("..") != std::string::npos)
    return Refused(field, "is not a dotted name");
  const bool network = absl::StartsWith(name, "net.");
  const bool ipc = std::any_of(std::begin(kIpc), std::end(kIpc),
                               [&](const char* each) { return absl::StartsWith(name, each); });
  if (!network && !ipc) return Refused(field, "is not a sysctl of a pod's own namespaces");
  if (network && options.network() == cri::NODE)
    return Refused(field, "the pod has the node's network namespace");
  if (ipc && options.ipc() == cri::NODE)
    return Refused(field, "the pod has the node's IPC namespace");
  return absl::OkStatus();
}

// systemd.unit(5): what a unit's name may have in it.
bool IsSliceName(absl::string_view name) {
  return absl::EndsWith(name, ".slice") && name.size() > 6 && name.size() <= 255 &&
         name[0] != '-' && !absl::StrContains(name, "--") &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                  absl::string_view(":-_.\\").find(c) != absl::string_view::npos;
         });
}

// "/kubepods.slice/kubepods-burstable.slice", or the last of it alone.
absl::Status CheckSlice(absl::string_view parent) {
  for (absl::string_view part : absl::StrSplit(parent, '/', absl::SkipEmpty())) {
    if (!IsSliceName(part)) {
      return Refused("cgroup_parent", absl::StrCat(parent,
                                                   " is not a systemd slice, but the cgroup "
                                                   "driver is systemd"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckCgroupParent(const std::string& parent, const RequestPolicy& policy) {
  if (parent.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(CheckText("cgroup_parent", parent, kMaxPath));
  for (absl::string_view part : absl::StrSplit(parent, '/', absl::SkipEmpty())) {
    if (part == "." || part == "..") return Refused("cgroup_parent", "has \"..\" in it");
    if (part.size() > NAME_MAX) return Refused("cgroup_parent", "has a name that is too long");
  }
  if (policy.systemd_cgroups) return CheckSlice(parent);
  if (parent[0] != '/') return Refused("cgroup_parent", "is not absolute");
  if (!absl::EndsWith(parent, ".slice")) return absl::OkStatus();
  return Refused("cgroup_parent", absl::StrCat(parent,
                                               " is a systemd slice, but the cgroup driver is "
                                               "cgroupfs"));
}

absl::Status CheckDns(const cri::DNSConfig& dns) {
  for (const auto* list : {&dns.servers(), &dns.searches(), &dns.options()}) {
    for (const std::string& text : *list)
      RETURN_IF_ERROR(CheckText("dns_config", text, kMaxDnsEntry));
  }
  return absl::OkStatus();
}

absl::Status CheckHostname(const std::string& hostname) {
  RETURN_IF_ERROR(CheckText("hostname", hostname, kMaxHostname));
  if (hostname.find('/') == std::string::npos) return absl::OkStatus();
  return Refused("hostname", "has a '/'");
}

absl::Status CheckLogDirectory(const std::string& directory) {
  if (directory.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(CheckPath("log_directory", directory));
  return LeadsUp(directory) ? Refused("log_directory", "has \"..\" in it") : absl::OkStatus();
}

absl::Status CheckPorts(const cri::PodSandboxConfig& config) {
  if (config.linux().security_context().namespace_options().network() == cri::NODE)
    return absl::OkStatus();  // it has the node's ports
  for (const cri::PortMapping& port : config.port_mappings()) {
    if (port.host_port() == 0) continue;  // informs only
    if (port.host_port() < 0 || port.host_port() > kMaxPort)
      return Refused("port_mappings.host_port", absl::StrCat(port.host_port(), " is no port"));
    if (port.container_port() < 1 || port.container_port() > kMaxPort) {
      return Refused("port_mappings.container_port",
                     absl::StrCat(port.container_port(), " is no port"));
    }
    if (!cri::Protocol_IsValid(port.protocol()))
      return Refused("port_mappings.protocol", "is not TCP, UDP or SCTP");
    if (!port.host_ip().empty() && !IsIpAddress(port.host_ip()))
      return Refused("port_mappings.host_ip", "is no IP address");
  }
  return absl::OkStatus();
}

std::vector<PortMapping> ParsePorts(const cri::PodSandboxConfig& config) {
  std::vector<PortMapping> ports;
  if (config.linux().security_context().namespace_options().network() == cri::NODE) return ports;
  for (const cri::PortMapping& port : config.port_mappings()) {
    if (port.host_port() == 0) continue;
    ports.push_back({.protocol = port.protocol() == cri::UDP    ? PortProtocol::kUdp
                                 : port.protocol() == cri::SCTP ? PortProtocol::kSctp
                                                                : PortProtocol::kTcp,
                     .container_port = static_cast<uint16_t>(port.container_port()),
                     .host_port = static_cast<uint16_t>(port.host_port()),
                     .host_ip = port.host_ip()});
  }
  return ports;
}

absl::Status CheckBandwidth(const cri::PodSandboxConfig& config) {
  const auto& annotations = config.annotations();
  return ParsePodBandwidth({annotations.begin(), annotations.end()}).status();
}

absl::Status CheckLinux(const cri::LinuxPodSandboxConfig& config, const RequestPolicy& policy,
                        const RequestHandler& handler) {
  const cri::NamespaceOption& options = config.security_context().namespace_options();
  RETURN_IF_ERROR(CheckPodNamespaces(options, policy, handler));
  RETURN_IF_ERROR(CheckPodSecurity(config.security_context(), policy));
  RETURN_IF_ERROR(CheckResources(config.overhead()));
  RETURN_IF_ERROR(CheckResources(config.resources()));
  for (const auto& [name, value] : config.sysctls())
    RETURN_IF_ERROR(CheckSysctl(name, value, options));
  return CheckCgroupParent(config.cgroup_parent(), policy);
}

PodSpec ParseNamespaces(const cri::PodSandboxConfig& config) {
  const cri::NamespaceOption& options = config.linux().security_context().namespace_options();
  PodSpec spec;
  spec.network = ParseMode(options.network());
  spec.ipc = ParseMode(options.ipc());
  spec.pid = ParseMode(options.pid());
  spec.hostname = config.hostname();
  spec.sysctls.insert(config.linux().sysctls().begin(), config.linux().sysctls().end());
  spec.user = ParseUserNamespace(options);
  return spec;
}

}  // namespace

PodConfig ParsePod(const cri::RunPodSandboxRequest& request) {
  const cri::PodSandboxConfig& from = request.config();
  const cri::LinuxPodSandboxConfig& linux_config = from.linux();
  PodConfig config;
  config.name = from.metadata().name();
  config.uid = from.metadata().uid();
  config.pod_namespace = from.metadata().namespace_();
  config.attempt = from.metadata().attempt();
  config.namespaces = ParseNamespaces(from);
  config.log_directory = from.log_directory();
  if (from.has_dns_config()) {
    config.dns =
        DnsConfig{Strings(from.dns_config().servers()), Strings(from.dns_config().searches()),
                  Strings(from.dns_config().options())};
  }
  config.ports = ParsePorts(from);
  config.cgroup_parent = linux_config.cgroup_parent();
  config.runtime_handler = request.runtime_handler();
  config.privileged = linux_config.security_context().privileged();
  config.selinux = ParseSelinux(linux_config.security_context().selinux_options());
  config.overhead = ParseResources(linux_config.overhead());
  config.resources = ParseResources(linux_config.resources());
  config.labels.insert(from.labels().begin(), from.labels().end());
  config.annotations.insert(from.annotations().begin(), from.annotations().end());
  return config;
}

absl::Status CheckPod(const cri::RunPodSandboxRequest& request, const RequestPolicy& policy) {
  const cri::PodSandboxConfig& config = request.config();
  RETURN_IF_ERROR(CheckText("runtime_handler", request.runtime_handler(), kMaxName));
  const RequestHandler* handler = FindHandler(policy, request.runtime_handler());
  if (handler == nullptr) {
    return Refused("runtime_handler",
                   absl::StrCat("\"", request.runtime_handler(),
                                "\" is not one of this node (Status lists them)"));
  }
  RETURN_IF_ERROR(CheckMetadata(config.metadata()));
  RETURN_IF_ERROR(CheckHostname(config.hostname()));
  RETURN_IF_ERROR(CheckLogDirectory(config.log_directory()));
  RETURN_IF_ERROR(CheckDns(config.dns_config()));
  RETURN_IF_ERROR(CheckPorts(config));
  RETURN_IF_ERROR(CheckBandwidth(config));
  return CheckLinux(config.linux(), policy, *handler);
}

}  // namespace berth
