#include "src/sandbox/network/cni_attachment.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/json_fields.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/base/strict_json.h"
#include "src/sandbox/network/pod_bandwidth.h"

namespace berth {
namespace {

using Json = nlohmann::json;

constexpr JsonLimits kRecordLimits = {.bytes = 8 << 20, .depth = 64, .values = 400'000};
// A pod may not ask for what could not be read back.
constexpr JsonLimits kAnnotationLimits = {.bytes = 64 << 10, .depth = 16, .values = 10'000};
constexpr size_t kMaxCapabilities = 1 << 20;
// A bucket that holds more than any rate: only the rate limits.
constexpr uint64_t kUnlimitedBurst = 0x7fffffff;
// Plugins look for iptables, modprobe and their like.
constexpr char kPath[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

constexpr const char* kCommands[] = {"ADD", "DEL", "CHECK", "STATUS", "GC", "VERSION"};
constexpr const char* kProtocols[] = {"tcp", "udp", "sctp"};

Json PortsJson(const std::vector<PortMapping>& ports) {
  Json list = Json::array();
  for (const PortMapping& port : ports) {
    Json entry = {{"hostPort", port.host_port},
                  {"containerPort", port.container_port},
                  {"protocol", kProtocols[static_cast<int>(port.protocol)]}};
    if (!port.host_ip.empty()) entry["hostIP"] = port.host_ip;
    list.push_back(std::move(entry));
  }
  return list;
}

Json BandwidthJson(const PodBandwidth& bandwidth) {
  Json limits;
  if (bandwidth.ingress_bits != 0) {
    limits["ingressRate"] = bandwidth.ingress_bits;
    limits["ingressBurst"] = kUnlimitedBurst;
  }
  if (bandwidth.egress_bits != 0) {
    limits["egressRate"] = bandwidth.egress_bits;
    limits["egressBurst"] = kUnlimitedBurst;
  }
  return limits;
}

Json DnsJson(const PodDns& dns) {
  Json entry;
  if (!dns.servers.empty()) entry["servers"] = dns.servers;
  if (!dns.searches.empty()) entry["searches"] = dns.searches;
  if (!dns.options.empty()) entry["options"] = dns.options;
  return entry;
}

// A fixed address or MAC address, as networks that have the capability take them from annotations.
Json AnnotatedJson(const std::string& text) {
  const absl::StatusOr<Json> parsed = ParseStrictJson(text, kAnnotationLimits, "annotation");
  return parsed.ok() ? *parsed : Json(text);
}

struct AnnotatedCapability {
  const char* annotation;
  const char* capability;
};
constexpr AnnotatedCapability kAnnotated[] = {{"cni.berth.dev/ips", "ips"},
                                              {"cni.berth.dev/ip-ranges", "ipRanges"},
                                              {"cni.berth.dev/mac", "mac"}};

Json CapabilitiesOf(const PodAttachment& pod, const PodBandwidth& bandwidth) {
  Json capabilities = Json::object();
  if (!pod.ports.empty()) capabilities["portMappings"] = PortsJson(pod.ports);
  if (Json limits = BandwidthJson(bandwidth); !limits.is_null())
    capabilities["bandwidth"] = std::move(limits);
  if (Json dns = DnsJson(pod.dns); !dns.is_null()) capabilities["dns"] = std::move(dns);
  if (!pod.cgroup_parent.empty()) capabilities["cgroupPath"] = pod.cgroup_parent;
  if (!pod.annotations.empty()) capabilities["io.kubernetes.cri.pod-annotations"] = pod.annotations;
  for (const AnnotatedCapability& each : kAnnotated) {
    if (const auto found = pod.annotations.find(each.annotation); found != pod.annotations.end())
      capabilities[each.capability] = AnnotatedJson(found->second);
  }
  return capabilities;
}

absl::Status CheckArgument(absl::string_view field, absl::string_view value) {
  if (value.find_first_of(";=") == absl::string_view::npos) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " \"", EscapeForLog(value), "\": CNI cannot take a ';' or '=' in it"));
}

Json BaseInput(const CniNetworkList& network, const CniPlugin& plugin) {
  Json input = plugin.config;
  input["name"] = network.name;
  input["cniVersion"] = network.version;
  return input;
}

std::string Text(const Json& document) {
  return document.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

const char* CniCommandName(CniCommand command) { return kCommands[static_cast<int>(command)]; }

absl::StatusOr<CniAttachment> MakeCniAttachment(const PodAttachment& pod, CniNetworkList network,
                                                std::string netns) {
  RETURN_IF_ERROR(CheckArgument("metadata.name", pod.name));
  RETURN_IF_ERROR(CheckArgument("metadata.namespace", pod.pod_namespace));
  RETURN_IF_ERROR(CheckArgument("metadata.uid", pod.uid));
  ASSIGN_OR_RETURN(const PodBandwidth bandwidth, ParsePodBandwidth(pod.annotations));
  CniAttachment attachment;
  attachment.pod_id = pod.pod_id;
  attachment.name = pod.name;
  attachment.pod_namespace = pod.pod_namespace;
  attachment.uid = pod.uid;
  attachment.network = std::move(network);
  attachment.capabilities = CapabilitiesOf(pod, bandwidth);
  if (Text(attachment.capabilities).size() > kMaxCapabilities) {
    return absl::InvalidArgumentError(absl::StrCat("annotations, DNS and ports: more than ",
                                                   kMaxCapabilities, " bytes for CNI plugins"));
  }
  attachment.netns = std::move(netns);
  return attachment;
}

std::vector<std::string> CniNodeEnvironment(CniCommand command, const std::string& plugin_path) {
  return {kPath, absl::StrCat("CNI_COMMAND=", CniCommandName(command)),
          absl::StrCat("CNI_PATH=", plugin_path)};
}

std::vector<std::string> CniEnvironment(CniCommand command, const std::string& plugin_path,
                                        const CniAttachment& attachment, const std::string& netns) {
  std::vector<std::string> environment = CniNodeEnvironment(command, plugin_path);
  environment.push_back(absl::StrCat("CNI_CONTAINERID=", attachment.pod_id));
  environment.push_back(absl::StrCat("CNI_NETNS=", netns));
  environment.push_back(absl::StrCat("CNI_IFNAME=", kCniInterface));
  environment.push_back(absl::StrCat(
      "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=", attachment.pod_namespace,
      ";K8S_POD_NAME=", attachment.name, ";K8S_POD_INFRA_CONTAINER_ID=", attachment.pod_id,
      ";K8S_POD_UID=", attachment.uid));
  return environment;
}

std::string CniInput(const CniNetworkList& network, const CniPlugin& plugin,
                     const Json& capabilities, const Json& previous) {
  Json input = BaseInput(network, plugin);
  Json runtime = Json::object();
  if (capabilities.is_object()) {
    for (const auto& [name, value] : capabilities.items()) {
      if (plugin.HasCapability(name)) runtime[name] = value;
    }
  }
  if (!runtime.empty()) input["runtimeConfig"] = std::move(runtime);
  if (!previous.is_null()) input["prevResult"] = previous;
  return Text(input);
}

std::string CniGcInput(const CniNetworkList& network, const CniPlugin& plugin,
                       const std::vector<std::string>& pod_ids) {
  Json input = BaseInput(network, plugin);
  Json valid = Json::array();
  for (const std::string& id : pod_ids)
    valid.push_back({{"containerID", id}, {"ifname", kCniInterface}});
  input["cni.dev/valid-attachments"] = std::move(valid);
  return Text(input);
}

AttachmentRow EncodeCniAttachment(const CniAttachment& attachment) {
  Json record = {{"name", attachment.name},
                 {"namespace", attachment.pod_namespace},
                 {"uid", attachment.uid},
                 {"network", CniConfigJson(attachment.network)},
                 {"capabilities", attachment.capabilities},
                 {"netns", attachment.netns}};
  if (!attachment.result.is_null()) record["result"] = attachment.result;
  return {.pod_id = attachment.pod_id,
          .network = attachment.network.name,
          .state = attachment.state,
          .record = Text(record)};
}

absl::StatusOr<CniAttachment> DecodeCniAttachment(const AttachmentRow& row) {
  const auto decode = [&]() -> absl::StatusOr<CniAttachment> {
    ASSIGN_OR_RETURN(const Json record, ParseStrictJson(row.record, kRecordLimits, "attachment"));
    CniAttachment attachment;
    attachment.pod_id = row.pod_id;
    attachment.state = row.state;
    ASSIGN_OR_RETURN(attachment.name, StringMember(record, "name"));
    ASSIGN_OR_RETURN(attachment.pod_namespace, StringMember(record, "namespace"));
    ASSIGN_OR_RETURN(attachment.uid, StringMember(record, "uid"));
    ASSIGN_OR_RETURN(attachment.netns, StringMember(record, "netns"));
    const Json* network = FindMember(record, "network");
    if (network == nullptr) return absl::InvalidArgumentError("it has no \"network\"");
    ASSIGN_OR_RETURN(attachment.network, CniConfigOf(*network));
    if (const Json* found = FindMember(record, "capabilities"); found != nullptr)
      attachment.capabilities = *found;
    if (const Json* found = FindMember(record, "result"); found != nullptr)
      attachment.result = *found;
    return attachment;
  };
  absl::StatusOr<CniAttachment> attachment = decode();
  if (attachment.ok()) return attachment;
  return absl::DataLossError(
      absl::StrCat("attachment of pod ", row.pod_id, ": ", attachment.status().message()));
}

}  // namespace berth
