// The directory of CNI configurations: which network its files make, and when they change.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"
#include "src/sandbox/network/cni_config.h"

namespace berth {

struct CniConfigs {
  std::shared_ptr<const CniNetworkList> network;  // the first good one; null: none
  std::string file;                               // its name
  std::vector<std::string> problems;  // one a file that was passed over: "<file>: <why>"
  bool unreadable = false;            // a problem is in a file's text: it may be half written
  bool any_file = false;
};

// *.conflist, *.conf and *.json in byte order of their names; hidden files and directories are
// passed over, and so is what has an error or needs a plugin that `find` does not find.
// `wanted_name`: the network to take; "" for the first. A directory that is not there has no file.
CniConfigs LoadCniConfigs(
    const std::string& directory, const std::string& wanted_name,
    const std::function<absl::StatusOr<std::string>(const std::string& type)>& find);

// Sees changes in directories, whether they exist or not (inotify(7)). One owner.
class DirectoryWatch {
 public:
  // Watches each of them, or the nearest directory above it that exists.
  static absl::StatusOr<DirectoryWatch> Start(const std::vector<std::string>& directories);
  // Readable when something has changed; a new watch is to be started then, before looking.
  int fd() const { return inotify_.get(); }

 private:
  explicit DirectoryWatch(UniqueFd inotify) : inotify_(std::move(inotify)) {}
  UniqueFd inotify_;
};

}  // namespace berth
