#include "src/sandbox/network/plugin_cgroups.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/id.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

// A killed process leaves its cgroup a moment later, one in an uninterruptible wait much later.
constexpr absl::Duration kPatience = absl::Seconds(5), kInterval = absl::Milliseconds(1);
constexpr size_t kMaxFree = 4, kOwnDigits = 12;

}  // namespace

absl::StatusOr<std::unique_ptr<PluginCgroups>> PluginCgroups::Open(std::string parent,
                                                                   const Log* log) {
  ASSIGN_OR_RETURN(Cgroups cgroups, Cgroups::Detect());
  const absl::Status removed = cgroups.KillAndRemove(parent, kPatience);
  // A plugin that nothing ends is no reason not to start: it stays where nobody else will be.
  if (!removed.ok() && log != nullptr)
    log->Warning("what a CNI plugin left behind does not die",
                 {{"cgroup", parent}, {"error", removed.message()}});
  return std::unique_ptr<PluginCgroups>(
      new PluginCgroups(std::move(parent), std::move(cgroups), log));
}

PluginCgroups::PluginCgroups(std::string parent, Cgroups cgroups, const Log* log)
    : parent_(std::move(parent)),
      own_(NewId().substr(0, kOwnDigits)),
      cgroups_(std::move(cgroups)),
      log_(log) {}

absl::StatusOr<PluginCgroups::Slot> PluginCgroups::Take() {
  std::string path;
  {
    absl::MutexLock lock(&mu_);
    if (!free_.empty()) {
      Slot slot = std::move(free_.back());
      free_.pop_back();
      return slot;
    }
    path = absl::StrCat(parent_, "/", own_, "-", made_++);
  }
  RETURN_IF_ERROR(cgroups_.CreateTracking(path));
  ASSIGN_OR_RETURN(CgroupHandle handle, cgroups_.Open(path));
  return Slot{.path = std::move(path), .handle = std::move(handle)};
}

bool PluginCgroups::IsEmpty(const Slot& slot) const {
  const absl::StatusOr<std::string> processes =
      ReadFileAt(slot.handle.directory.get(), "cgroup.procs");
  return processes.ok() && processes->empty();
}

void PluginCgroups::GiveBack(Slot slot) {
  const absl::Time deadline = SteadyNow() + kPatience;
  bool killed = false;
  while (!IsEmpty(slot)) {
    killed = true;
    cgroups_.Kill(slot.path);
    if (SteadyNow() > deadline) {
      if (log_ != nullptr)
        log_->Warning("what a CNI plugin left behind does not die", {{"cgroup", slot.path}});
      return;  // the next start removes it
    }
    absl::SleepFor(kInterval);
  }
  // Linux 6.18 kills at once what is cloned into a cgroup that was killed before.
  if (!killed) {
    absl::MutexLock lock(&mu_);
    if (free_.size() < kMaxFree) return free_.push_back(std::move(slot));
  }
  slot.handle = CgroupHandle();
  // What is dying is no longer told of, and still in it. What is not removed in time is removed
  // with the parent.
  while (!cgroups_.Remove(slot.path).ok() && SteadyNow() < deadline) absl::SleepFor(kInterval);
}

absl::Status PluginCgroups::RemoveUnused() {
  absl::MutexLock lock(&mu_);
  absl::Status removed;
  for (const Slot& slot : free_) removed.Update(cgroups_.Remove(slot.path));
  free_.clear();
  // Stays where a slot is in use.
  cgroups_.Remove(parent_).IgnoreError();
  return removed;
}

}  // namespace berth
