// berthd's configuration: a table of keys, a TOML file with drop-ins, and the defaults. One table
// serves the parser, what a reload changes, `berthd config default` and `dump`, and the reference
// (config_reference.h).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace berth {

// [handlers.NAME]: an external OCI runtime that a RuntimeClass names.
struct HandlerConfig {
  std::string path;  // absolute

  bool operator==(const HandlerConfig&) const = default;
};

struct Config {
  std::string data_dir = "/var/lib/berth";
  std::string state_dir = "/run/berth";
  std::string socket = "/run/berth/berth.sock";
  std::string max_connections = "2000";
  std::string keepalive_seconds = "60";
  std::string log_level = "info";
  std::string log_format = "text";
  std::string cgroup_driver = "cgroupfs";
  std::string cgroup_root = "/berth";
  std::string pids_limit = "0";
  std::string rlimits;
  std::string log_rate = "0", log_max_bytes = "0";
  std::string ready_monitors = "4";
  std::string cdi_dirs = "/etc/cdi:/var/run/cdi";
  std::string nri_socket;
  std::string nri_plugin_dir = "/opt/nri/plugins";
  std::string nri_config_dir = "/etc/nri/conf.d";
  std::string nri_required;
  std::string nri_registration_seconds = "5";
  std::string nri_request_seconds = "2";
  std::string hook_dirs = "/usr/share/containers/oci/hooks.d:/etc/containers/oci/hooks.d";
  std::string pinned_images;
  std::string pull_bandwidth = "0";
  std::string stall_seconds = "30";
  std::string keep_partial_seconds = "600";
  std::string parallel_layers = "4";
  std::string keep_blobs = "false";
  std::string verifier_dir;
  std::string certs_dirs = "/etc/berth/certs.d:/etc/containerd/certs.d:/etc/docker/certs.d";
  std::string auth_files = "/etc/berth/auth.json";
  std::string helper_dirs = "/usr/local/bin:/usr/bin:/bin";
  std::string network_mode = "auto";
  std::string bridge = "berth0";
  std::string ipv4_subnet = "10.88.0.0/16";
  std::string ipv6_subnet = "fd88:0:0:1::/64";
  std::string mtu = "0";
  std::string isolate_pods = "false";
  std::string ready_networks = "32";
  std::string stream_listen = "127.0.0.1:0";
  std::string stream_url, stream_certificate, stream_key;
  std::string stream_idle_seconds = "14400";  // as the kubelet's streamingConnectionIdleTimeout
  std::string stream_max_connections = "256";
  std::string cni_conf_dir = "/etc/cni/net.d";
  std::string cni_bin_dirs = "/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni";
  std::string cni_default_network, cni_conf_template;
  std::string cni_netns_dir = "/run/netns";
  std::string cni_plugin_seconds = "60";
  std::string cni_primary_family = "ipv4";
  std::string metrics_listen;  // "127.0.0.1:9476", "unix:///run/berth/metrics.sock"; "" off
  std::string metrics_containers = "true";
  std::string stats_min_age_ms = "500";
  std::string stats_interval_seconds = "10";
  std::map<std::string, HandlerConfig> handlers;
};

// Everything under `dir`: data, state, socket, and a bridge, subnets and cgroup root of its own, so
// that several daemons run side by side.
Config ConfigForDir(const std::string& dir);

// `file` if it exists, then `file`'s drop-ins FILE's directory/conf.d/*.toml in name order; later
// values win. InvalidArgument: file, line, key and what is wrong; an unknown key is an error.
absl::StatusOr<Config> LoadConfig(const std::string& file, Config defaults);

// As TOML, each key with its explanation.
std::string DumpConfig(const Config& config);

struct ConfigKey {
  const char* section;  // "" for the top level
  const char* name;
  std::string Config::*value;
  const char* help;
  const char* choices = "";  // "a|b", or "" for any text
  bool reloads = false;      // a running berthd takes a new value over
};

// In the order of `berthd config default`; the keys of a section are together.
absl::Span<const ConfigKey> ConfigKeys();

// "log.level"
std::string FullName(const ConfigKey& key);

// Names of what differs between two configurations.
struct ConfigChanges {
  std::vector<std::string> taken_over;
  std::vector<std::string> need_restart;
};

// Puts what may change in a running daemon from `read` into `running`.
ConfigChanges TakeOver(const Config& read, Config* running);

}  // namespace berth
