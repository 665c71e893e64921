#include "src/sandbox/network/cni_config_dir.h"

#include <fcntl.h>
#include <sys/inotify.h>

#include <algorithm>
#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr std::array kExtensions = {".conflist", ".conf", ".json"};
constexpr size_t kMaxFile = 1 << 20, kMaxFiles = 256;
constexpr uint32_t kChanges = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                              IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB | IN_ONLYDIR;

std::vector<std::string> FilesOf(const std::string& directory, absl::string_view only = "") {
  std::vector<std::string> names =
      ListDir(AT_FDCWD, directory).value_or(std::vector<std::string>());
  std::erase_if(names, [&](const std::string& name) {
    if (name[0] == '.') return true;
    if (!only.empty()) return !absl::EndsWith(name, only);
    return std::none_of(kExtensions.begin(), kExtensions.end(),
                        [&](const char* extension) { return absl::EndsWith(name, extension); });
  });
  std::sort(names.begin(), names.end());
  if (names.size() > kMaxFiles) names.resize(kMaxFiles);
  return names;
}

// Plugins of a list may lie in files of their own, in the directory of the network's name.
absl::Status AddPluginFiles(const std::string& directory, CniNetworkList* list) {
  if (list->only_inlined_plugins) return absl::OkStatus();
  const std::string own = absl::StrCat(directory, "/", list->name);
  for (const std::string& name : FilesOf(own, ".conf")) {
    const std::string path = absl::StrCat(own, "/", name);
    ASSIGN_OR_RETURN(const std::string text, ReadFileAt(AT_FDCWD, path, kMaxFile));
    absl::StatusOr<CniPlugin> plugin = ParseCniPlugin(text);
    if (!plugin.ok()) return Annotate(plugin.status(), absl::StrCat(list->name, "/", name));
    list->plugins.push_back(*std::move(plugin));
  }
  return absl::OkStatus();
}

absl::StatusOr<CniNetworkList> ReadConfig(const std::string& directory, const std::string& name) {
  ASSIGN_OR_RETURN(const std::string text,
                   ReadFileAt(AT_FDCWD, absl::StrCat(directory, "/", name), kMaxFile));
  ASSIGN_OR_RETURN(CniNetworkList list, ParseCniConfig(text));
  if (absl::EndsWith(name, ".conflist")) RETURN_IF_ERROR(AddPluginFiles(directory, &list));
  if (list.plugins.empty()) return absl::InvalidArgumentError("the network has no plugins");
  return list;
}

}  // namespace

CniConfigs LoadCniConfigs(
    const std::string& directory, const std::string& wanted_name,
    const std::function<absl::StatusOr<std::string>(const std::string& type)>& find) {
  CniConfigs configs;
  for (const std::string& name : FilesOf(directory)) {
    configs.any_file = true;
    const auto pass_over = [&](absl::string_view why) {
      configs.problems.push_back(absl::StrCat(EscapeForLog(name), ": ", why));
    };
    absl::StatusOr<CniNetworkList> list = ReadConfig(directory, name);
    if (!list.ok()) {
      configs.unreadable = true;
      pass_over(list.status().message());
      continue;
    }
    absl::Status missing;
    for (const CniPlugin& plugin : list->plugins) missing.Update(find(plugin.type).status());
    if (!wanted_name.empty() && list->name != wanted_name) {
      pass_over(absl::StrCat("its network ", list->name, " is not ", wanted_name));
    } else if (!missing.ok()) {
      pass_over(missing.message());
    } else if (configs.network == nullptr) {
      configs.network = std::make_shared<const CniNetworkList>(*std::move(list));
      configs.file = name;
    }
  }
  return configs;
}

absl::StatusOr<DirectoryWatch> DirectoryWatch::Start(const std::vector<std::string>& directories) {
  UniqueFd inotify(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify.valid()) return ErrnoStatus("inotify_init1", "CNI configuration");
  for (std::string path : directories) {
    while (::inotify_add_watch(inotify.get(), path.c_str(), kChanges) < 0) {
      if (errno != ENOENT && errno != ENOTDIR) return ErrnoStatus("inotify_add_watch", path);
      const size_t slash = path.rfind('/');
      if (slash == std::string::npos) break;
      path = slash == 0 ? "/" : path.substr(0, slash);
    }
  }
  return DirectoryWatch(std::move(inotify));
}

}  // namespace berth
