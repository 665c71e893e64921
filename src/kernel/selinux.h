// SELinux: the labels that containers get. Contexts are "user:role:type:level"; the level of a pod
// is a pair of MCS categories of its own, so that pods cannot touch each other's files.
// selinux(8), mcs(8), the file lxc_contexts of a policy.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "src/kernel/lsm.h"

namespace berth {

struct SelinuxContext {
  std::string user, role, type, level;
  std::string ToString() const;  // without the level if that is empty
};

// InvalidArgument: fewer than three parts, or characters that no context has.
absl::StatusOr<SelinuxContext> ParseSelinuxContext(absl::string_view text);

// "s0", "s0-s15", "s0:c1,c2", "s0:c1.c5,c9", "s0-s0:c0.c1023". InvalidArgument otherwise.
absl::Status CheckSelinuxLevel(absl::string_view level);

// What the installed policy gives to containers.
struct SelinuxDefaults {
  SelinuxContext process, file;
};
absl::StatusOr<SelinuxDefaults> ReadSelinuxDefaults(const LsmPaths& paths = {});

// Parts that are empty are the default's.
struct SelinuxRequest {
  std::string user, role, type, level;
  bool IsEmpty() const { return user.empty() && role.empty() && type.empty() && level.empty(); }
};

struct SelinuxLabels {
  std::string process;  // ProcessIdentity::selinux
  std::string mount;    // of the root, /dev/shm and the pod's files; relabelling
};

// The labels of a container. `level` is its pod's (SelinuxCategories), used unless the request has
// one. Privileged without a type of its own: spc_t. InvalidArgument: a malformed part.
absl::StatusOr<SelinuxLabels> MergeSelinux(const SelinuxDefaults& defaults,
                                           const SelinuxRequest& request, absl::string_view level,
                                           bool privileged);

// The same from what the node has: empty labels without SELinux, but FailedPrecondition if the
// request has any part then. Also asks the kernel whether its policy has the process's context.
absl::StatusOr<SelinuxLabels> ResolveSelinux(const SelinuxRequest& request, absl::string_view level,
                                             bool privileged, const LsmFacts& facts,
                                             const LsmPaths& paths = {});

// Pairs of the 1024 MCS categories, each for one pod at a time. Thread-safe.
class SelinuxCategories {
 public:
  // "s0:c1,c2". A freed pair is given out again as late as possible. ResourceExhausted.
  absl::StatusOr<std::string> Allocate();
  // After a restart: the level of a pod that exists. Levels of another form are not ours to give
  // and are left alone. AlreadyExists.
  absl::Status Reserve(absl::string_view level);
  void Release(absl::string_view level);

 private:
  absl::Mutex mu_;
  std::set<uint32_t> taken_ ABSL_GUARDED_BY(mu_);
  uint32_t next_ ABSL_GUARDED_BY(mu_) = 0;
};

// Gives `label` to the file or directory behind `fd` (O_PATH will do) and all below it, without
// following links and without crossing into other mounts. `path` is what it was opened from:
// InvalidArgument for directories of the system ("/", "/usr", "/etc", "/home", ...), by name and by
// identity. File systems without labels are left as they are.
absl::Status RelabelTree(int fd, const std::string& path, const std::string& label);

}  // namespace berth
