#include "src/cli/cni_check.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace berth::cli {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> Configurations(const NodeFacts& facts) {
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(facts.root + facts.cni_conf_dir, error)) {
    const std::string extension = entry.path().extension().string();
    if (extension == ".conf" || extension == ".conflist" || extension == ".json")
      files.push_back(entry.path().filename().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string TypeOf(const nlohmann::json& plugin) {
  return plugin.is_object() && plugin.contains("type") && plugin["type"].is_string()
             ? plugin["type"].get<std::string>()
             : "";
}

// What the file's plugins are called; none where it is not a configuration.
std::vector<std::string> PluginsOf(const std::string& path) {
  std::ifstream file(path);
  const nlohmann::json config = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return {};
  std::vector<std::string> types;
  if (config.contains("plugins") && config["plugins"].is_array()) {
    for (const nlohmann::json& plugin : config["plugins"]) types.push_back(TypeOf(plugin));
  } else {
    types.push_back(TypeOf(config));
  }
  return std::find(types.begin(), types.end(), "") == types.end() ? types
                                                                  : std::vector<std::string>();
}

bool IsInstalled(const NodeFacts& facts, const std::string& type) {
  return std::any_of(facts.cni_bin_dirs.begin(), facts.cni_bin_dirs.end(), [&](const auto& dir) {
    return ::access(absl::StrCat(facts.root, dir, "/", type).c_str(), X_OK) == 0;
  });
}

}  // namespace

Finding CheckCni(const NodeFacts& facts) {
  if (facts.network_mode == "builtin")
    return {Health::kGood, "network.mode is builtin: the built-in bridge is used", ""};
  const std::vector<std::string> files = Configurations(facts);
  if (files.empty() && facts.network_mode == "cni") {
    return {Health::kBad, absl::StrCat("no configuration in ", facts.cni_conf_dir),
            "install the cluster's network, which puts one there, or set network.mode = \"auto\""};
  }
  if (files.empty())
    return {Health::kGood, "no CNI configuration: the built-in bridge is used", ""};
  std::string wrong;
  for (const std::string& file : files) {
    const std::string path = absl::StrCat(facts.cni_conf_dir, "/", file);
    const std::vector<std::string> plugins = PluginsOf(facts.root + path);
    std::vector<std::string> missing;
    for (const std::string& type : plugins) {
      if (!IsInstalled(facts, type)) missing.push_back(type);
    }
    if (!plugins.empty() && missing.empty())
      return {Health::kGood, absl::StrCat(path, ": ", absl::StrJoin(plugins, ", ")), ""};
    if (wrong.empty())
      wrong = plugins.empty() ? absl::StrCat(path, " names no plugin")
                              : absl::StrCat(path, ": no plugin ", absl::StrJoin(missing, ", "),
                                             " in ", absl::StrJoin(facts.cni_bin_dirs, ":"));
  }
  return {Health::kBad, wrong,
          "install containernetworking-plugins or the plugins of your network, or mend the file"};
}

}  // namespace berth::cli
