#include "src/server/config.h"

#include <toml++/toml.h>
#include <algorithm>
#include <filesystem>
#include <functional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

constexpr ConfigKey kKeys[] = {
    {"", "data_dir", &Config::data_dir, "images, writable layers and the database"},
    {"", "state_dir", &Config::state_dir,
     "what a reboot may clear: monitors' sockets and exit records"},
    {"grpc", "socket", &Config::socket, "where the CRI is served (mode 0660)"},
    {"grpc", "max_connections", &Config::max_connections,
     "connections at the same time, 1 to 10000; one process gets a quarter of them at most"},
    {"grpc", "keepalive_seconds", &Config::keepalive_seconds,
     "a client that is silent for so long is asked whether it is there, 10 to 3600"},
    {"log", "level", &Config::log_level, "debug, info, warning or error",
     "debug|info|warning|error", true},
    {"log", "format", &Config::log_format, "text or json", "text|json", true},
    {"cgroup", "driver", &Config::cgroup_driver,
     "who makes the pods' cgroups: berthd itself, or systemd as scopes", "cgroupfs|systemd"},
    {"cgroup", "root", &Config::cgroup_root, "parent of pods that name no cgroup_parent"},
    {"container", "pids_limit", &Config::pids_limit,
     "processes of one container at most; \"0\" for no limit"},
    {"container", "rlimits", &Config::rlimits,
     "limits of every process, NAME=SOFT:HARD with commas between; \"\" for berthd's own"},
    {"container", "log_rate", &Config::log_rate,
     "bytes a second of one container that its log keeps; \"0\" for all"},
    {"container", "log_max_bytes", &Config::log_max_bytes,
     "size of one log file beyond which output is dropped; \"0\" for no limit"},
    {"container", "ready_monitors", &Config::ready_monitors,
     "monitors that wait for their pods from the first pod on, 0 to 256; none on nodes with "
     "cgroup2 "
     "alone"},
    {"cdi", "dirs", &Config::cdi_dirs,
     "where CDI specifications are, a later directory before an earlier one; \"\" for none"},
    {"nri", "socket", &Config::nri_socket,
     "where NRI plugins connect, commonly /var/run/nri/nri.sock: they may change every container; "
     "\"\" for no NRI"},
    {"nri", "plugin_dir", &Config::nri_plugin_dir,
     "programs NN-NAME that are started as NRI plugins; \"\" for none"},
    {"nri", "config_dir", &Config::nri_config_dir,
     "what an NRI plugin is configured with: NN-NAME.conf, or NAME.conf"},
    {"nri", "required", &Config::nri_required,
     "names of NRI plugins without which no container is made, commas between"},
    {"nri", "registration_seconds", &Config::nri_registration_seconds,
     "an NRI plugin is cut off if a step of its handshake takes longer, 1 to 600"},
    {"nri", "request_seconds", &Config::nri_request_seconds,
     "one that has not answered a call after so long is cut off, 1 to 600"},
    {"hooks", "dirs", &Config::hook_dirs,
     "where OCI hooks are configured (oci-hooks(5)); \"\" for none"},
    {"image", "pinned", &Config::pinned_images,
     "images that no garbage collection may remove: full names, * and ? match, commas between"},
    {"image", "bandwidth", &Config::pull_bandwidth,
     "bytes a second that all pulls together may receive; \"0\" for no limit"},
    {"image", "stall_seconds", &Config::stall_seconds,
     "a connection to a registry that brings nothing for so long is given up, 1 to 3600"},
    {"image", "keep_partial_seconds", &Config::keep_partial_seconds,
     "what a failed pull has fetched waits so long for the next try, \"0\" for not at all"},
    {"image", "parallel_layers", &Config::parallel_layers,
     "layers of one image that are fetched and unpacked at the same time, 1 to 32"},
    {"image", "keep_blobs", &Config::keep_blobs,
     "keep compressed layers too: damage is then mended without a registry", "true|false"},
    {"image", "verifier_dir", &Config::verifier_dir,
     "programs that each must accept an image before it is pulled; \"\" for none"},
    {"registry", "certs_dirs", &Config::certs_dirs,
     "where HOST[:PORT]/hosts.toml and certificates of registries are; read at each pull"},
    {"registry", "auth_files", &Config::auth_files,
     "auth.json or config.json of Docker: credentials for pulls that bring none; \"\" for none"},
    {"registry", "helper_dirs", &Config::helper_dirs,
     "where the docker-credential-NAME programs are that auth_files name"},
    {"network", "mode", &Config::network_mode,
     "auto: CNI plugins once there is a file in cni.conf_dir, the built-in network until then",
     "auto|builtin|cni"},
    {"network", "bridge", &Config::bridge, "the built-in network's bridge"},
    {"network", "ipv4_subnet", &Config::ipv4_subnet, "the first address is the bridge's"},
    {"network", "ipv6_subnet", &Config::ipv6_subnet, "\"\" for no IPv6"},
    {"network", "mtu", &Config::mtu,
     "of the bridge and of pods that are started from now on, 1280 to 65535; \"0\" for that of the "
     "interface of the default route"},
    {"network", "isolate_pods", &Config::isolate_pods,
     "pods reach the node and the outside, but not each other", "true|false"},
    {"network", "ready_networks", &Config::ready_networks,
     "pod networks (with CNI: empty ones) that are kept ready from the first pod on, 0 to 256"},
    {"stream", "listen", &Config::stream_listen,
     "ADDRESS:PORT for clients of exec, attach and port-forward, port 0 for a free one; \"\" for "
     "none"},
    {"stream", "url", &Config::stream_url,
     "how they reach it, http(s)://HOST[:PORT]; \"\" for the address it listens on"},
    {"stream", "tls_certificate", &Config::stream_certificate,
     "PEM file with the chain; read at each connection; \"\" for no TLS"},
    {"stream", "tls_key", &Config::stream_key, "PEM file with its private key"},
    {"stream", "idle_seconds", &Config::stream_idle_seconds,
     "a session without a byte for so long is ended, 1 to 604800"},
    {"stream", "max_connections", &Config::stream_max_connections,
     "connections at the same time, 1 to 10000"},
    {"cni", "conf_dir", &Config::cni_conf_dir,
     "*.conflist, *.conf and *.json of networks, the first good one counts; followed as it "
     "changes"},
    {"cni", "bin_dirs", &Config::cni_bin_dirs, "where plugins are looked for, in this order"},
    {"cni", "default_network", &Config::cni_default_network,
     "name of the network that pods get; \"\" for the first in the directory"},
    {"cni", "conf_template", &Config::cni_conf_template,
     "made into a network of conf_dir when the kubelet tells the pod CIDR; \"\" for none"},
    {"cni", "netns_dir", &Config::cni_netns_dir, "where the pods' network namespaces have names"},
    {"cni", "plugin_seconds", &Config::cni_plugin_seconds,
     "a plugin that runs for longer is killed, 1 to 600"},
    {"cni", "primary_family", &Config::cni_primary_family,
     "which of a pod's addresses comes first; plugin: as the plugin gives them",
     "ipv4|ipv6|plugin"},
    {"metrics", "listen", &Config::metrics_listen,
     "loopback ADDRESS:PORT or unix:///PATH of the Prometheus endpoint; \"\" for none"},
    {"metrics", "containers", &Config::metrics_containers,
     "series of each pod and container there, labelled by their names", "true|false", true},
    {"stats", "min_age_ms", &Config::stats_min_age_ms,
     "a cgroup is read anew once what is known of it is so old, 0 to 60000"},
    {"stats", "interval_seconds", &Config::stats_interval_seconds,
     "it is read at least so often, for CPU rates over that time, 1 to 600"},
};

const ConfigKey* FindKey(absl::string_view section, absl::string_view name) {
  for (const ConfigKey& key : kKeys) {
    if (section == key.section && name == key.name) return &key;
  }
  return nullptr;
}

absl::Status Invalid(const std::string& file, const toml::source_region& at,
                     absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(file, ":", at.begin.line, ": ", what));
}

absl::Status Apply(const std::string& file, absl::string_view section, const toml::key& name,
                   const toml::node& node, Config* config) {
  const std::string key_name(name.str());
  const std::string full = section.empty() ? key_name : absl::StrCat(section, ".", key_name);
  const ConfigKey* key = FindKey(section, key_name);
  if (key == nullptr) return Invalid(file, node.source(), absl::StrCat("unknown key ", full));
  const toml::value<std::string>* text = node.as_string();
  if (text == nullptr) return Invalid(file, node.source(), absl::StrCat(full, " must be a string"));
  const std::string& value = text->get();
  const std::vector<std::string> choices = absl::StrSplit(key->choices, '|', absl::SkipEmpty());
  if (!choices.empty() && std::find(choices.begin(), choices.end(), value) == choices.end()) {
    return Invalid(file, node.source(),
                   absl::StrCat(full, " = \"", value, "\": must be one of ", key->choices));
  }
  config->*(key->value) = value;
  return absl::OkStatus();
}

// [handlers.NAME]
absl::Status ApplyHandler(const std::string& file, const toml::key& name, const toml::node& node,
                          Config* config) {
  const std::string handler(name.str());
  const toml::table* table = node.as_table();
  if (table == nullptr)
    return Invalid(file, node.source(), absl::StrCat("handlers.", handler, " must be a table"));
  const bool is_label = !handler.empty() && handler.size() <= 63 &&
                        std::all_of(handler.begin(), handler.end(), [](char c) {
                          return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
                        });
  if (!is_label) {
    return Invalid(file, node.source(),
                   absl::StrCat("handlers.", handler, ": the name is not a DNS label"));
  }
  HandlerConfig parsed;
  for (const auto& [key, value] : *table) {
    const std::string full = absl::StrCat("handlers.", handler, ".", std::string(key.str()));
    if (key.str() != "path") return Invalid(file, value.source(), "unknown key " + full);
    const toml::value<std::string>* text = value.as_string();
    if (text == nullptr) return Invalid(file, value.source(), full + " must be a string");
    parsed.path = text->get();
  }
  if (!absl::StartsWith(parsed.path, "/")) {
    return Invalid(file, node.source(),
                   absl::StrCat("handlers.", handler, ".path must be an absolute path"));
  }
  config->handlers[handler] = parsed;
  return absl::OkStatus();
}

absl::Status ApplyFile(const std::string& file, Config* config) {
  toml::table table;
  try {  // toml++ throws: this is its one door
    table = toml::parse_file(file);
  } catch (const toml::parse_error& error) {
    return Invalid(file, error.source(), absl::string_view(error.what()));
  }
  for (const auto& [name, node] : table) {
    const toml::table* section = node.as_table();
    if (section == nullptr) {
      RETURN_IF_ERROR(Apply(file, "", name, node, config));
      continue;
    }
    for (const auto& [inner, value] : *section) {
      RETURN_IF_ERROR(name.str() == "handlers"
                          ? ApplyHandler(file, inner, value, config)
                          : Apply(file, std::string(name.str()), inner, value, config));
    }
  }
  return absl::OkStatus();
}

}  // namespace

Config ConfigForDir(const std::string& dir) {
  const size_t hash = std::hash<std::string>()(dir);
  Config config;
  config.data_dir = dir + "/data";
  config.state_dir = dir + "/state";
  config.socket = dir + "/berth.sock";
  config.cgroup_root = absl::StrFormat("/berth-%08x", hash & 0xffffffff);
  config.cni_conf_dir = dir + "/net.d";
  config.bridge = absl::StrFormat("bth%08x", hash & 0xffffffff);
  config.ipv4_subnet = absl::StrFormat("10.%d.%d.0/20", 90 + hash % 120, 16 * ((hash >> 8) % 16));
  config.ipv6_subnet = absl::StrFormat("fd%02x:%04x:%04x:1::/64", hash & 0xff, (hash >> 8) & 0xffff,
                                       (hash >> 24) & 0xffff);
  return config;
}

absl::StatusOr<Config> LoadConfig(const std::string& file, Config defaults) {
  std::error_code error;
  if (std::filesystem::exists(file, error)) RETURN_IF_ERROR(ApplyFile(file, &defaults));
  std::vector<std::string> drop_ins;
  const std::filesystem::path directory = std::filesystem::path(file).parent_path() / "conf.d";
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (entry.path().extension() == ".toml") drop_ins.push_back(entry.path().string());
  }
  std::sort(drop_ins.begin(), drop_ins.end());
  for (const std::string& drop_in : drop_ins) RETURN_IF_ERROR(ApplyFile(drop_in, &defaults));
  return defaults;
}

absl::Span<const ConfigKey> ConfigKeys() { return kKeys; }

std::string FullName(const ConfigKey& key) {
  return *key.section == '\0' ? key.name : absl::StrCat(key.section, ".", key.name);
}

ConfigChanges TakeOver(const Config& read, Config* running) {
  ConfigChanges changes;
  for (const ConfigKey& key : kKeys) {
    std::string& value = running->*(key.value);
    if (value == read.*(key.value)) continue;
    if (key.reloads) value = read.*(key.value);
    (key.reloads ? changes.taken_over : changes.need_restart).push_back(FullName(key));
  }
  if (read.handlers != running->handlers) changes.need_restart.push_back("handlers");
  return changes;
}

std::string DumpConfig(const Config& config) {
  std::string text;
  absl::string_view section;
  for (const ConfigKey& key : kKeys) {
    if (section != key.section) {
      section = key.section;
      absl::StrAppend(&text, "\n[", section, "]\n");
    }
    absl::StrAppend(&text, "# ", key.help, "\n", key.name, " = \"", config.*(key.value), "\"\n");
  }
  for (const auto& [name, handler] : config.handlers) {
    absl::StrAppend(&text, "\n[handlers.", name,
                    "]\n# an OCI runtime with the command line of runc\n", "path = \"",
                    handler.path, "\"\n");
  }
  return text;
}

}  // namespace berth
