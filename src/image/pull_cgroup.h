// The cgroups of berth-pull processes, one each: less CPU and disk than pods when both want them,
// and a limit of memory and of threads, so that a pull that goes wrong costs that pull only. They
// lie beside the pods' root and not below it, since a weight counts among siblings. With the
// cgroupfs driver they are made here; with systemd's each is a scope below the root slice, made by
// systemd around the process, and gone with it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "src/base/log.h"
#include "src/kernel/cgroup.h"
#include "src/kernel/process.h"

namespace berth {

// Its destructor kills what is left in it and removes it. Not thread-safe.
class PullCgroup {
 public:
  virtual ~PullCgroup() = default;

  // Lets a process be started in it. The descriptors are borrowed until Spawn returns.
  virtual void Lend(SpawnRequest* request) const = 0;
  // To be called when the process has been started and has not been given anything to do yet.
  virtual absl::Status Adopt(pid_t pid) = 0;
  // The kernel killed a process in it because the memory limit was reached.
  virtual bool RanOutOfMemory() const = 0;
};

// Thread-safe.
class PullCgroups {
 public:
  struct Options {
    // cgroupfs: an absolute path that is this daemon's alone, "/berth-pulls"; made for the first
    // pull and removed after the last. systemd: the beginning of the scopes' names, "berth".
    std::string parent;
    bool systemd = false;
    // A belt: berth-pull needs less than a tenth of it, the rest is page cache that the kernel
    // takes back.
    int64_t memory_bytes = int64_t{1} << 30;
    const Log* log = nullptr;  // may be null
  };
  // Kills and removes what an earlier daemon left; the log tells what does not die.
  // FailedPrecondition without cgroups.
  static absl::StatusOr<std::unique_ptr<PullCgroups>> Open(Options options);

  // The cgroup of one pull, with its limits. It must not outlive this object.
  absl::StatusOr<std::unique_ptr<PullCgroup>> Make();

 private:
  class Directory;
  class Scope;

  PullCgroups(Options options, Cgroups cgroups)
      : options_(std::move(options)), cgroups_(std::move(cgroups)) {}
  absl::StatusOr<std::unique_ptr<PullCgroup>> MakeDirectory(const std::string& path);
  void RemoveDirectory(const std::string& path);
  void TellUnlessRemoved(const absl::Status& removed) const;

  const Options options_;
  const Cgroups cgroups_;
  absl::Mutex mu_;  // held over the making of directories and the removing of the parent, which
                    // goes with the last one
  int directories_ ABSL_GUARDED_BY(mu_) = 0;
};

// Where the pulls of a daemon go whose pods are in `cgroup_root` ("/berth", "berth.slice").
std::string PullCgroupParent(absl::string_view cgroup_root);

}  // namespace berth
