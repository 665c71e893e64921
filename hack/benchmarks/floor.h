// The least that the kernel asks for a container: the same namespaces, cgroups, overlay, mounts,
// pivot_root and exec that a runtime makes, and nothing around them. A runtime's figure divided by
// this one says how much of its time is its own. Thread-safe; needs root.
#pragma once

#include <linux/sched.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"

namespace berth::bench {

// A container or a pod of the floor; killed, and its files and cgroups removed, by Floor::Remove.
struct FloorContainer {
  pid_t pid = 0;
  UniqueFd pidfd;
  std::string directory;             // upper and work directory of its overlay; a pod's files
  std::vector<std::string> cgroups;  // made for it, one in each hierarchy
};

class Floor {
 public:
  struct Options {
    std::string root;  // a root file system with /bin/sleep, /bin/true, /dev, /proc, /sys and empty
                       // /etc/hosts, /etc/hostname and /etc/resolv.conf; only read
    std::string scratch;  // an existing folder for writable layers
    std::string
        cgroup;  // "/berth-bench/floor": parent of the containers' cgroups in every hierarchy
  };
  static absl::StatusOr<Floor> Create(Options options);

  // Returns when the process of a pod on the host's network has been exec'ed.
  absl::StatusOr<FloorContainer> StartPod() const { return StartPodIn(0); }
  // The same in a network namespace with nothing in it.
  absl::StatusOr<FloorContainer> StartPodWithoutNetwork() const { return StartPodIn(CLONE_NEWNET); }
  // Returns when the container's first process has been exec'ed.
  absl::StatusOr<FloorContainer> Start() const;
  absl::Status Remove(FloorContainer container) const;
  // Runs /bin/true in the container and waits for its end.
  absl::Status Exec(const FloorContainer& container) const;

 private:
  explicit Floor(Options options) : options_(std::move(options)) {}

  Options options_;
  struct Limit {
    std::string file;  // "/cpu.shares"
    std::vector<std::string> values;
  };
  struct Hierarchy {
    std::string parent;  // options.cgroup below its mount point
    bool v1 = false;
    bool accounts = false;      // of processes of the runtime too: a pod has a cgroup there
    std::string target;         // where a container sees it (CgroupView)
    std::vector<Limit> limits;  // of a container
  };
  enum class Kind { kPod, kContainer };

  absl::StatusOr<FloorContainer> StartPodIn(uint64_t more_namespaces) const;
  absl::StatusOr<FloorContainer> Prepare(Kind kind) const;

  std::vector<Hierarchy> hierarchies_;
};

}  // namespace berth::bench
