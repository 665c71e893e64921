#include "src/server/cni_setup.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace berth {
namespace {

constexpr int kMostSeconds = 600;

// Beside the pods' root: "/berth" or "berth.slice" is "/berth-cni".
std::string CgroupOf(absl::string_view root) {
  root = absl::StripSuffix(absl::StripSuffix(root, "/"), ".slice");
  return absl::StrCat(absl::StartsWith(root, "/") ? "" : "/", root, "-cni");
}

}  // namespace

absl::StatusOr<CniNetwork::Options> CniOptionsOf(const Config& config, const std::string& helpers,
                                                 const Log& log) {
  CniNetwork::Options options;
  for (const auto& [key, path] : {std::pair("cni.conf_dir", config.cni_conf_dir),
                                  std::pair("cni.netns_dir", config.cni_netns_dir)}) {
    if (!absl::StartsWith(path, "/"))
      return absl::InvalidArgumentError(absl::StrCat(key, " \"", path, "\" is not absolute"));
  }
  int seconds = 0;
  if (!absl::SimpleAtoi(config.cni_plugin_seconds, &seconds) || seconds < 1 ||
      seconds > kMostSeconds) {
    return absl::InvalidArgumentError(absl::StrCat("cni.plugin_seconds \"",
                                                   config.cni_plugin_seconds,
                                                   "\" is not a number from 1 to ", kMostSeconds));
  }
  // What was attached earlier is still to be taken back.
  if (NetworkModeOf(config) != NetworkMode::kBuiltIn) options.conf_dir = config.cni_conf_dir;
  options.bin_dirs = absl::StrSplit(config.cni_bin_dirs, ':', absl::SkipEmpty());
  for (const std::string& directory : options.bin_dirs) {
    if (!absl::StartsWith(directory, "/"))
      return absl::InvalidArgumentError(
          absl::StrCat("cni.bin_dirs: ", directory, " is not absolute"));
  }
  options.netns_dir = config.cni_netns_dir;
  options.default_network = config.cni_default_network;
  options.conf_template = config.cni_conf_template;
  options.cgroup = CgroupOf(config.cgroup_root);
  options.plugin_timeout = absl::Seconds(seconds);
  options.preference = config.cni_primary_family == "ipv6"     ? AddressPreference::kIpv6
                       : config.cni_primary_family == "plugin" ? AddressPreference::kAsGiven
                                                               : AddressPreference::kIpv4;
  if (!absl::SimpleAtoi(config.ready_networks, &options.pool_size))
    return absl::InvalidArgumentError(
        absl::StrCat("network.ready_networks \"", config.ready_networks, "\" is not a number"));
  options.monitor_path = helpers + "/berth-monitor";
  options.log = &log;
  return options;
}

NetworkMode NetworkModeOf(const Config& config) {
  return config.network_mode == "cni"       ? NetworkMode::kCni
         : config.network_mode == "builtin" ? NetworkMode::kBuiltIn
                                            : NetworkMode::kAuto;
}

}  // namespace berth
