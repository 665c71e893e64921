#include "src/image/pull_cgroup.h"

#include <fcntl.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/id.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/kernel/file.h"
#include "src/kernel/systemd_scope.h"

namespace berth {
namespace {

constexpr int64_t kCpuShares = 256;  // a quarter of what a cgroup has that nobody weighed
constexpr int64_t kIoWeight = 25;
constexpr int64_t kThreads = 256;
constexpr char kRootSlice[] = "-.slice";
constexpr absl::Duration kScopeTimeout = absl::Seconds(30);
constexpr absl::Duration kRemovePatience = absl::Seconds(5);

// v2: memory.events; v1: memory.oom_control. Both have a line "oom_kill N".
bool HasOomKill(int memory_dir) {
  for (const char* file : {"memory.events", "memory.oom_control"}) {
    const absl::StatusOr<std::string> text = ReadFileAt(memory_dir, file);
    if (!text.ok()) continue;
    for (absl::string_view line : absl::StrSplit(*text, '\n')) {
      int64_t count = 0;
      if (absl::ConsumePrefix(&line, "oom_kill ") && absl::SimpleAtoi(line, &count))
        return count > 0;
    }
  }
  return false;
}

}  // namespace

class PullCgroups::Directory : public PullCgroup {
 public:
  Directory(PullCgroups& owner, std::string path, CgroupHandle handle)
      : owner_(owner), path_(std::move(path)), handle_(std::move(handle)) {}
  ~Directory() override {
    handle_ = CgroupHandle();
    owner_.RemoveDirectory(path_);
  }

  void Lend(SpawnRequest* request) const override {
    for (const UniqueFd& tasks : handle_.tasks) request->cgroup_tasks.push_back(tasks.get());
    if (handle_.unified) request->cgroup_dir = handle_.directory.get();
  }
  absl::Status Adopt(pid_t) override { return absl::OkStatus(); }
  bool RanOutOfMemory() const override {
    return handle_.memory.valid() && HasOomKill(handle_.memory.get());
  }

 private:
  PullCgroups& owner_;
  const std::string path_;
  CgroupHandle handle_;
};

// Systemd ends a scope when its last process has ended: there is nothing to remove.
class PullCgroups::Scope : public PullCgroup {
 public:
  Scope(std::string unit, const PullCgroups& owner) : unit_(std::move(unit)), owner_(owner) {}

  void Lend(SpawnRequest*) const override {}

  absl::Status Adopt(pid_t pid) override {
    const uint64_t memory = static_cast<uint64_t>(owner_.options_.memory_bytes);
    ASSIGN_OR_RETURN(const SystemdScopes scopes, SystemdScopes::Connect());
    RETURN_IF_ERROR(scopes.Create({.unit = unit_,
                                   .slice = kRootSlice,
                                   .description = "image pull",
                                   .parked_pid = pid,
                                   .limits = {{"CPUWeight", CpuWeightFromShares(kCpuShares)},
                                              {"IOWeight", kIoWeight},
                                              {"MemoryHigh", memory - memory / 8},
                                              {"MemoryMax", memory},
                                              {"TasksMax", kThreads}}},
                                  SteadyNow() + kScopeTimeout));
    absl::StatusOr<CgroupHandle> handle = owner_.cgroups_.Open(ScopeCgroupPath(kRootSlice, unit_));
    if (handle.ok()) memory_ = std::move(handle->memory);
    return absl::OkStatus();
  }

  // Only as long as systemd has not removed the cgroup.
  bool RanOutOfMemory() const override { return memory_.valid() && HasOomKill(memory_.get()); }

 private:
  const std::string unit_;
  const PullCgroups& owner_;
  UniqueFd memory_;
};

absl::StatusOr<std::unique_ptr<PullCgroups>> PullCgroups::Open(Options options) {
  ASSIGN_OR_RETURN(Cgroups cgroups, Cgroups::Detect());
  std::unique_ptr<PullCgroups> pulls(new PullCgroups(std::move(options), std::move(cgroups)));
  if (!pulls->options_.systemd) {
    // What nothing ends is no reason not to start: no other pull will be where it stays.
    pulls->TellUnlessRemoved(
        pulls->cgroups_.KillAndRemove(pulls->options_.parent, kRemovePatience));
  }
  return pulls;
}

absl::StatusOr<std::unique_ptr<PullCgroup>> PullCgroups::Make() {
  const std::string id = NewId();
  if (options_.systemd) {
    return std::make_unique<Scope>(absl::StrCat(options_.parent, "-pull-", id, ".scope"), *this);
  }
  const std::string path = absl::StrCat(options_.parent, "/", id);
  absl::StatusOr<std::unique_ptr<PullCgroup>> made = MakeDirectory(path);
  if (!made.ok()) RemoveDirectory(path);
  return made;
}

absl::StatusOr<std::unique_ptr<PullCgroup>> PullCgroups::MakeDirectory(const std::string& path) {
  {
    absl::MutexLock lock(&mu_);
    ++directories_;
    RETURN_IF_ERROR(cgroups_.Create(path));
  }
  CgroupLimits limits = {.cpu_shares = kCpuShares, .io_weight = kIoWeight};
  if (cgroups_.HasController("pids")) limits.pids = kThreads;
  if (cgroups_.HasController("memory")) limits.memory_bytes = options_.memory_bytes;
  if (!cgroups_.HasController("cpu")) limits.cpu_shares.reset();
  // Before the limit kills, the kernel takes back page cache and slows the process down.
  if (cgroups_.mode() == Cgroups::Mode::kV2 && limits.memory_bytes) {
    limits.unified["memory.high"] = absl::StrCat(options_.memory_bytes - options_.memory_bytes / 8);
  }
  RETURN_IF_ERROR(cgroups_.SetLimits(path, limits));
  ASSIGN_OR_RETURN(CgroupHandle handle, cgroups_.Open(path));
  return std::make_unique<Directory>(*this, path, std::move(handle));
}

void PullCgroups::RemoveDirectory(const std::string& path) {
  TellUnlessRemoved(cgroups_.KillAndRemove(path, kRemovePatience));
  absl::MutexLock lock(&mu_);
  // Stays where something does not die.
  if (--directories_ == 0) cgroups_.Remove(options_.parent).IgnoreError();
}

void PullCgroups::TellUnlessRemoved(const absl::Status& removed) const {
  if (!removed.ok() && options_.log != nullptr)
    options_.log->Warning("cgroup of a pull not removed", {{"error", removed.message()}});
}

std::string PullCgroupParent(absl::string_view cgroup_root) {
  if (absl::EndsWith(cgroup_root, ".slice")) {
    return std::string(absl::StripSuffix(cgroup_root.substr(cgroup_root.rfind('/') + 1), ".slice"));
  }
  return absl::StrCat(absl::StripSuffix(cgroup_root, "/"), "-pulls");
}

}  // namespace berth
