// Cgroups in which CNI plugins run, so that one ends with all that it started. A few are reused: a
// plugin finds one ready, and leaves it empty. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "src/base/log.h"
#include "src/kernel/cgroup.h"

namespace berth {

class PluginCgroups {
 public:
  // `parent` is an absolute cgroup path that is this daemon's alone. Kills and removes what an
  // earlier daemon left in it; the log tells what does not die. Made for the first plugin.
  static absl::StatusOr<std::unique_ptr<PluginCgroups>> Open(std::string parent, const Log* log);

  struct Slot {
    std::string path;
    CgroupHandle handle;
  };
  absl::StatusOr<Slot> Take();
  // Keeps it for the next plugin, unless there are enough, or kills what is left in it and removes
  // it.
  void GiveBack(Slot slot);

  // Removes all cgroups that no plugin is in.
  absl::Status RemoveUnused();

 private:
  PluginCgroups(std::string parent, Cgroups cgroups, const Log* log);
  bool IsEmpty(const Slot& slot) const;

  const std::string parent_, own_;  // the second begins the names of this object's
  const Cgroups cgroups_;
  const Log* const log_;
  absl::Mutex mu_;
  std::vector<Slot> free_ ABSL_GUARDED_BY(mu_);
  int made_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace berth
