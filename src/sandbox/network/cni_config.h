// Configurations of CNI networks, as *.conflist, *.conf and *.json files hold them (CNI
// specification 0.1.0 to 1.1.0, section 1). Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace berth {

struct CniPlugin {
  std::string type;       // the executable's name: letters, digits, '.', '_' and '-'
  nlohmann::json config;  // its object, as it stands in the file
  bool HasCapability(const std::string& name) const;
};

struct CniNetworkList {
  std::string name;
  std::string version;  // what is spoken with the plugins: the highest that we know of those listed
  bool disable_check = false, disable_gc = false, only_inlined_plugins = false;
  std::vector<CniPlugin> plugins;  // at least one, unless they are in a directory beside the file

  bool VersionAtLeast(absl::string_view other) const;
  bool HasCapability(const std::string& name) const;
};

// -1, 0 or 1. Both are versions that we know.
int CompareCniVersions(absl::string_view a, absl::string_view b);
// Oldest first.
const std::vector<std::string>& KnownCniVersions();
bool IsCniPluginName(absl::string_view name);

// A file's content. One plugin's configuration is a list of one. InvalidArgument (what is wrong) or
// ResourceExhausted (too large).
absl::StatusOr<CniNetworkList> ParseCniConfig(absl::string_view text);
// One plugin's configuration without a name, from the directory of a list.
absl::StatusOr<CniPlugin> ParseCniPlugin(absl::string_view text);

// As a *.conflist; ParseCniConfig gives the same back.
nlohmann::json CniConfigJson(const CniNetworkList& list);
absl::StatusOr<CniNetworkList> CniConfigOf(const nlohmann::json& document);

}  // namespace berth
