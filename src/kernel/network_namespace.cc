#include "src/kernel/network_namespace.h"

#include <errno.h>
#include <sched.h>
#include <sys/wait.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "src/base/status_macros.h"
#include "src/kernel/network_namespace_child.h"
#include "src/kernel/vfork.h"

namespace berth {

absl::StatusOr<MadeNamespace> MakeNetworkNamespace(absl::Span<const NetworkSetting> settings) {
  std::vector<NamespaceFile> files;
  for (const NetworkSetting& setting : settings) {
    files.push_back({.path = absl::StrCat("sys/", absl::StrReplaceAll(setting.name, {{".", "/"}})),
                     .value = setting.value});
  }
  NamespaceChild child = {.files = files.data(), .file_count = files.size()};
  ASSIGN_OR_RETURN(
      const SpawnedProcess process,
      Vfork("network namespace",
            {.namespaces = CLONE_NEWNET, .function = RunNamespaceChild, .argument = &child}));
  while (::waitid(P_PIDFD, static_cast<id_t>(process.pidfd.get()), nullptr, WEXITED) != 0 &&
         errno == EINTR) {
  }
  MadeNamespace made = {.netns = UniqueFd(child.netns), .netlink = UniqueFd(child.netlink)};
  if (child.error != 0) {
    return ErrnoStatus("make network namespace:", child.failed, child.error);
  }
  // Killed from outside, before it was done.
  if (!made.netns.valid()) return ErrnoStatus("make", "network namespace", EINTR);
  return made;
}

}  // namespace berth
