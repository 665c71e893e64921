#include "src/server/daemon_options.h"

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"
#include "src/runtime/rlimits.h"

namespace berth {
namespace {

absl::StatusOr<int64_t> NumberOf(absl::string_view key, const std::string& text, int64_t least,
                                 int64_t most) {
  int64_t number = 0;
  if (absl::SimpleAtoi(text, &number) && number >= least && number <= most) return number;
  return absl::InvalidArgumentError(
      absl::StrCat(key, " \"", text, "\" is not a number from ", least, " to ", most));
}

absl::Status CheckAbsolute(absl::string_view key, const std::string& path) {
  if (absl::StartsWith(path, "/")) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(key, " \"", path, "\" is not absolute"));
}

std::vector<std::string> PathsOf(const std::string& text) {
  return absl::StrSplit(text, ':', absl::SkipEmpty());
}

bool UsesSystemd(const Config& config) { return config.cgroup_driver == "systemd"; }

// Systemd's groups are slices: "/berth" is "berth.slice" then.
std::string CgroupRootOf(const Config& config) {
  const std::string& root = config.cgroup_root;
  if (!UsesSystemd(config) || absl::EndsWith(root, ".slice")) return root;
  return absl::StrCat(root.substr(root.rfind('/') + 1), ".slice");
}

// Of CNI plugins, beside the pods' root: "/berth" or "berth.slice" is "/berth-cni".
std::string PluginCgroupOf(absl::string_view root) {
  root = absl::StripSuffix(absl::StripSuffix(root, "/"), ".slice");
  return absl::StrCat(absl::StartsWith(root, "/") ? "" : "/", root, "-cni");
}

absl::StatusOr<ImageStore::Options> ImageOptionsOf(const Config& config,
                                                   const std::string& helpers) {
  ASSIGN_OR_RETURN(const int64_t bandwidth,
                   NumberOf("image.bandwidth", config.pull_bandwidth, 0, int64_t{1} << 50));
  ASSIGN_OR_RETURN(const int64_t stall_seconds,
                   NumberOf("image.stall_seconds", config.stall_seconds, 1, 3600));
  ASSIGN_OR_RETURN(const int64_t keep_partial,
                   NumberOf("image.keep_partial_seconds", config.keep_partial_seconds, 0, 86400));
  ASSIGN_OR_RETURN(const int64_t parallel_layers,
                   NumberOf("image.parallel_layers", config.parallel_layers, 1, 32));
  return ImageStore::Options{
      .data_dir = config.data_dir,
      .pull_helper = helpers + "/berth-pull",
      .certs_dirs = PathsOf(config.certs_dirs),
      .auth_files = PathsOf(config.auth_files),
      .helper_dirs = PathsOf(config.helper_dirs),
      .pinned = absl::StrSplit(config.pinned_images, ',', absl::SkipEmpty()),
      .bytes_per_second = bandwidth,
      .stall_seconds = static_cast<int>(stall_seconds),
      .keep_partial = absl::Seconds(keep_partial),
      .parallel_layers = static_cast<int>(parallel_layers),
      .keep_blobs = config.keep_blobs == "true",
      .verifier_dir = config.verifier_dir,
      .verifier_env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}};
}

absl::StatusOr<BridgeNetwork::Options> BridgeOptionsOf(const Config& config) {
  ASSIGN_OR_RETURN(const int64_t mtu, NumberOf("network.mtu", config.mtu, 0, 65535));
  // IPv6 does not work with less (RFC 8200, 5).
  if (mtu != 0 && mtu < 1280)
    return absl::InvalidArgumentError("network.mtu: neither 0 nor at least 1280");
  ASSIGN_OR_RETURN(const int64_t ready,
                   NumberOf("network.ready_networks", config.ready_networks, 0, 256));
  return BridgeNetwork::Options{.bridge = config.bridge,
                                .ipv4_subnet = config.ipv4_subnet,
                                .ipv6_subnet = config.ipv6_subnet,
                                .mtu = static_cast<uint32_t>(mtu),
                                .isolate_pods = config.isolate_pods == "true",
                                .pool_size = static_cast<size_t>(ready)};
}

NetworkMode NetworkModeOf(const Config& config) {
  return config.network_mode == "cni"       ? NetworkMode::kCni
         : config.network_mode == "builtin" ? NetworkMode::kBuiltIn
                                            : NetworkMode::kAuto;
}

absl::StatusOr<CniNetwork::Options> CniOptionsOf(const Config& config) {
  RETURN_IF_ERROR(CheckAbsolute("cni.conf_dir", config.cni_conf_dir));
  RETURN_IF_ERROR(CheckAbsolute("cni.netns_dir", config.cni_netns_dir));
  ASSIGN_OR_RETURN(const int64_t seconds,
                   NumberOf("cni.plugin_seconds", config.cni_plugin_seconds, 1, 600));
  ASSIGN_OR_RETURN(const int64_t ready,
                   NumberOf("network.ready_networks", config.ready_networks, 0, 256));
  CniNetwork::Options options;
  // What was attached earlier is still to be taken back.
  options.conf_dir =
      NetworkModeOf(config) == NetworkMode::kBuiltIn ? std::string() : config.cni_conf_dir;
  options.bin_dirs = PathsOf(config.cni_bin_dirs);
  for (const std::string& directory : options.bin_dirs)
    RETURN_IF_ERROR(CheckAbsolute("cni.bin_dirs", directory));
  options.netns_dir = config.cni_netns_dir;
  options.default_network = config.cni_default_network;
  options.conf_template = config.cni_conf_template;
  options.cgroup = PluginCgroupOf(config.cgroup_root);
  options.pool_size = static_cast<size_t>(ready);
  options.plugin_timeout = absl::Seconds(seconds);
  options.preference = config.cni_primary_family == "ipv6"     ? AddressPreference::kIpv6
                       : config.cni_primary_family == "plugin" ? AddressPreference::kAsGiven
                                                               : AddressPreference::kIpv4;
  return options;
}

absl::StatusOr<Node::Options> NodeOptionsOf(const Config& config, const std::string& helpers,
                                            rlim_t descriptors) {
  ASSIGN_OR_RETURN(const int64_t pids_limit, NumberOf("container.pids_limit", config.pids_limit, 0,
                                                      std::numeric_limits<int64_t>::max()));
  absl::StatusOr<std::vector<Rlimit>> rlimits = ParseRlimits(config.rlimits);
  if (!rlimits.ok()) return Annotate(rlimits.status(), "container.rlimits");
  ASSIGN_OR_RETURN(const int64_t log_rate,
                   NumberOf("container.log_rate", config.log_rate, 0, int64_t{1} << 40));
  ASSIGN_OR_RETURN(const int64_t log_max_bytes,
                   NumberOf("container.log_max_bytes", config.log_max_bytes, 0, int64_t{1} << 50));
  ASSIGN_OR_RETURN(const int64_t ready_monitors,
                   NumberOf("container.ready_monitors", config.ready_monitors, 0, 256));
  Node::Options options{.data_dir = config.data_dir,
                        .state_dir = config.state_dir,
                        .monitor_path = helpers + "/berth-monitor",
                        .copy_path = helpers + "/berth-copy",
                        .ready_monitors = static_cast<size_t>(ready_monitors),
                        .pids_limit = pids_limit,
                        .rlimits = *std::move(rlimits),
                        .descriptor_limit = descriptors,
                        .cgroup_root = CgroupRootOf(config),
                        .systemd_cgroups = UsesSystemd(config),
                        .cdi_dirs = PathsOf(config.cdi_dirs),
                        .hook_dirs = PathsOf(config.hook_dirs),
                        .log_limits = {.bytes_per_second = static_cast<uint64_t>(log_rate),
                                       .max_bytes = static_cast<uint64_t>(log_max_bytes)}};
  for (const auto& [name, handler] : config.handlers) options.handlers[name] = handler.path;
  return options;
}

absl::StatusOr<StatsSampler::Options> SamplerOptionsOf(const Config& config, rlim_t descriptors) {
  ASSIGN_OR_RETURN(const int64_t min_age,
                   NumberOf("stats.min_age_ms", config.stats_min_age_ms, 0, 60000));
  ASSIGN_OR_RETURN(const int64_t interval,
                   NumberOf("stats.interval_seconds", config.stats_interval_seconds, 1, 600));
  return StatsSampler::Options{.min_age = absl::Milliseconds(min_age),
                               .interval = absl::Seconds(interval),
                               .window = absl::Seconds(interval),
                               .max_descriptors = static_cast<size_t>(descriptors) / 2};
}

absl::StatusOr<StreamService::Options> StreamingOptionsOf(const Config& config,
                                                          const std::string& helpers) {
  if (config.stream_listen.empty()) return StreamService::Options{};
  ASSIGN_OR_RETURN(const int64_t idle_seconds,
                   NumberOf("stream.idle_seconds", config.stream_idle_seconds, 1, 604800));
  ASSIGN_OR_RETURN(const int64_t max_connections,
                   NumberOf("stream.max_connections", config.stream_max_connections, 1, 10000));
  return StreamService::Options{.listen = config.stream_listen,
                                .url = config.stream_url,
                                .helper_path = helpers + "/berth-stream",
                                .certificate = config.stream_certificate,
                                .private_key = config.stream_key,
                                .idle_timeout = absl::Seconds(idle_seconds),
                                .max_connections = static_cast<size_t>(max_connections)};
}

absl::StatusOr<nri::Options> PluginOptionsOf(const Config& config) {
  nri::Options options;
  if (config.nri_socket.empty()) {
    if (config.nri_required.empty()) return options;
    return absl::InvalidArgumentError("nri.required: nri.socket says that there is no NRI");
  }
  for (const auto& [key, path] : {std::pair("nri.socket", &config.nri_socket),
                                  std::pair("nri.plugin_dir", &config.nri_plugin_dir),
                                  std::pair("nri.config_dir", &config.nri_config_dir)}) {
    if (!path->empty()) RETURN_IF_ERROR(CheckAbsolute(key, *path));
  }
  ASSIGN_OR_RETURN(const int64_t registration,
                   NumberOf("nri.registration_seconds", config.nri_registration_seconds, 1, 600));
  ASSIGN_OR_RETURN(const int64_t request,
                   NumberOf("nri.request_seconds", config.nri_request_seconds, 1, 600));
  options.socket = config.nri_socket;
  options.plugin_dir = config.nri_plugin_dir;
  options.config_dir = config.nri_config_dir;
  options.required = absl::StrSplit(config.nri_required, ',', absl::SkipEmpty());
  options.timeouts = {.registration = absl::Seconds(registration),
                      .request = absl::Seconds(request)};
  return options;
}

}  // namespace

absl::StatusOr<DaemonOptions> OptionsOf(const Config& config, const std::string& helpers,
                                        const rlimit& descriptors, const Log& log) {
  DaemonOptions options;
  options.pull_cgroups = {.parent = PullCgroupParent(CgroupRootOf(config)),
                          .systemd = UsesSystemd(config)};
  ASSIGN_OR_RETURN(options.images, ImageOptionsOf(config, helpers));
  ASSIGN_OR_RETURN(options.bridge, BridgeOptionsOf(config));
  ASSIGN_OR_RETURN(options.cni, CniOptionsOf(config));
  options.network_mode = NetworkModeOf(config);
  ASSIGN_OR_RETURN(options.node, NodeOptionsOf(config, helpers, descriptors.rlim_cur));
  ASSIGN_OR_RETURN(options.sampler, SamplerOptionsOf(config, descriptors.rlim_max));
  ASSIGN_OR_RETURN(options.plugins, PluginOptionsOf(config));
  ASSIGN_OR_RETURN(options.streaming, StreamingOptionsOf(config, helpers));
  ASSIGN_OR_RETURN(const int64_t max_connections,
                   NumberOf("grpc.max_connections", config.max_connections, 1, 10000));
  options.max_connections = static_cast<size_t>(max_connections);
  ASSIGN_OR_RETURN(const int64_t keepalive_seconds,
                   NumberOf("grpc.keepalive_seconds", config.keepalive_seconds, 10, 3600));
  options.keepalive = absl::Seconds(keepalive_seconds);
  for (const Log** part :
       {&options.pull_cgroups.log, &options.images.log, &options.bridge.log, &options.cni.log,
        &options.node.log, &options.plugins.log, &options.streaming.log})
    *part = &log;
  return options;
}

}  // namespace berth
