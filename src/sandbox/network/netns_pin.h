// A network namespace with a name: a bind mount of it, as ip-netns(8) and CNI plugins know it. It
// keeps the namespace, and survives the daemon.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace berth {

// Makes the directory ("/run/netns"), and a shared mount of it, so that what is unmounted there is
// unmounted in all mount namespaces.
absl::Status PrepareNetnsDirectory(const std::string& directory);

// "<directory>/cni-<32 hex digits>", random.
std::string NewNetnsPath(const std::string& directory);

// AlreadyExists: something is at `path`.
absl::Status PinNetns(int netns_fd, const std::string& path);
// Nothing at `path` is success.
absl::Status UnpinNetns(const std::string& path);
// False when nothing, or something else, is at `path` (after a reboot).
bool IsNetns(const std::string& path);

}  // namespace berth
