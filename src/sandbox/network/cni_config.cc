#include "src/sandbox/network/cni_config.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/json_fields.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/base/strict_json.h"

namespace berth {
namespace {

using Json = nlohmann::json;

constexpr JsonLimits kLimits = {.bytes = 1 << 20, .depth = 32, .values = 50'000};
constexpr size_t kMaxPlugins = 32;
constexpr size_t kMaxName = 128;
constexpr char kVersionOfOldFiles[] = "0.1.0";  // those that name none

bool IsName(absl::string_view name, bool leading_punctuation) {
  if (name.empty() || name.size() > kMaxName || name == "." || name == "..") return false;
  if (!leading_punctuation && !absl::ascii_isalnum(static_cast<unsigned char>(name[0])))
    return false;
  return std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
  });
}

size_t IndexOfVersion(absl::string_view version) {
  const std::vector<std::string>& known = KnownCniVersions();
  return static_cast<size_t>(std::find(known.begin(), known.end(), version) - known.begin());
}

absl::StatusOr<bool> BoolMember(const Json& object, const char* name) {
  const Json* member = FindMember(object, name);
  if (member == nullptr) return false;
  // Early users of disableCheck wrote it as text.
  if (member->is_string()) return absl::AsciiStrToLower(member->get<std::string>()) == "true";
  if (member->is_boolean()) return member->get<bool>();
  return absl::InvalidArgumentError(absl::StrCat("member \"", name, "\": expected true or false"));
}

absl::StatusOr<std::string> ChooseVersion(const Json& document) {
  ASSIGN_OR_RETURN(std::string version, StringMember(document, "cniVersion"));
  ASSIGN_OR_RETURN(std::vector<std::string> versions, StringListMember(document, "cniVersions"));
  if (version.empty() && versions.empty()) version = kVersionOfOldFiles;
  if (!version.empty()) versions.push_back(version);
  std::string best;
  for (const std::string& each : versions) {
    const size_t index = IndexOfVersion(each);
    if (index < KnownCniVersions().size() && (best.empty() || index > IndexOfVersion(best)))
      best = each;
  }
  if (!best.empty()) return best;
  return absl::InvalidArgumentError(
      absl::StrCat("cniVersion \"", EscapeForLog(absl::StrJoin(versions, ", ")),
                   "\" is not one of ", absl::StrJoin(KnownCniVersions(), ", ")));
}

absl::StatusOr<CniPlugin> PluginOf(const Json& object) {
  if (!object.is_object()) return absl::InvalidArgumentError("a plugin is not an object");
  CniPlugin plugin;
  ASSIGN_OR_RETURN(plugin.type, StringMember(object, "type"));
  if (plugin.type.empty()) return absl::InvalidArgumentError("a plugin has no \"type\"");
  if (!IsCniPluginName(plugin.type)) {
    return absl::InvalidArgumentError(
        absl::StrCat("type \"", EscapeForLog(plugin.type), "\" is not a plugin's name"));
  }
  if (const Json* capabilities = FindMember(object, "capabilities");
      capabilities != nullptr && !capabilities->is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat("plugin ", plugin.type, ": \"capabilities\" is not an object"));
  }
  plugin.config = object;
  return plugin;
}

absl::Status AddPlugins(const Json& document, CniNetworkList* list) {
  const Json* plugins = FindMember(document, "plugins");
  if (plugins == nullptr) {
    ASSIGN_OR_RETURN(CniPlugin plugin, PluginOf(document));
    list->plugins.push_back(std::move(plugin));
    return absl::OkStatus();
  }
  if (!plugins->is_array()) return absl::InvalidArgumentError("\"plugins\" is not a list");
  if (plugins->size() > kMaxPlugins)
    return absl::InvalidArgumentError(absl::StrCat("more than ", kMaxPlugins, " plugins"));
  for (const Json& each : *plugins) {
    ASSIGN_OR_RETURN(CniPlugin plugin, PluginOf(each));
    list->plugins.push_back(std::move(plugin));
  }
  return absl::OkStatus();
}

}  // namespace

const std::vector<std::string>& KnownCniVersions() {
  static const auto* versions =
      new std::vector<std::string>{"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};
  return *versions;
}

int CompareCniVersions(absl::string_view a, absl::string_view b) {
  const size_t first = IndexOfVersion(a), second = IndexOfVersion(b);
  return first < second ? -1 : first > second ? 1 : 0;
}

bool IsCniPluginName(absl::string_view name) { return IsName(name, /*leading_punctuation=*/true); }

bool CniPlugin::HasCapability(const std::string& name) const {
  const Json* capabilities = FindMember(config, "capabilities");
  if (capabilities == nullptr) return false;
  const Json* capability = FindMember(*capabilities, name.c_str());
  return capability != nullptr && capability->is_boolean() && capability->get<bool>();
}

bool CniNetworkList::VersionAtLeast(absl::string_view other) const {
  return CompareCniVersions(version, other) >= 0;
}

bool CniNetworkList::HasCapability(const std::string& capability) const {
  return std::any_of(plugins.begin(), plugins.end(),
                     [&](const CniPlugin& plugin) { return plugin.HasCapability(capability); });
}

absl::StatusOr<CniNetworkList> CniConfigOf(const Json& document) {
  if (!document.is_object()) return absl::InvalidArgumentError("not a JSON object");
  CniNetworkList list;
  ASSIGN_OR_RETURN(list.name, StringMember(document, "name"));
  if (list.name.empty()) return absl::InvalidArgumentError("the network has no \"name\"");
  if (!IsName(list.name, /*leading_punctuation=*/false)) {
    return absl::InvalidArgumentError(
        absl::StrCat("name \"", EscapeForLog(list.name), "\" is not a network's name"));
  }
  ASSIGN_OR_RETURN(list.version, ChooseVersion(document));
  ASSIGN_OR_RETURN(list.disable_check, BoolMember(document, "disableCheck"));
  ASSIGN_OR_RETURN(list.disable_gc, BoolMember(document, "disableGC"));
  ASSIGN_OR_RETURN(list.only_inlined_plugins, BoolMember(document, "loadOnlyInlinedPlugins"));
  RETURN_IF_ERROR(AddPlugins(document, &list));
  return list;
}

absl::StatusOr<CniNetworkList> ParseCniConfig(absl::string_view text) {
  ASSIGN_OR_RETURN(const Json document, ParseStrictJson(text, kLimits, "CNI configuration"));
  return CniConfigOf(document);
}

absl::StatusOr<CniPlugin> ParseCniPlugin(absl::string_view text) {
  ASSIGN_OR_RETURN(const Json document, ParseStrictJson(text, kLimits, "CNI plugin"));
  return PluginOf(document);
}

Json CniConfigJson(const CniNetworkList& list) {
  Json plugins = Json::array();
  for (const CniPlugin& plugin : list.plugins) plugins.push_back(plugin.config);
  return {{"name", list.name},
          {"cniVersion", list.version},
          {"disableCheck", list.disable_check},
          {"disableGC", list.disable_gc},
          {"loadOnlyInlinedPlugins", list.only_inlined_plugins},
          {"plugins", std::move(plugins)}};
}

}  // namespace berth
