// Reads what one cgroup uses, again and again: its files stay open, so that a sample is a few
// pread(2) (a fifth of what opening costs), and of one that is asleep only two of them are read.
// Not thread-safe; one owner at a time.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "src/base/steady_time.h"
#include "src/base/unique_fd.h"
#include "src/kernel/cgroup_stats.h"

namespace berth {

// "/dev/NAME" of a block device, "" where sysfs knows none.
std::string BlockDeviceName(uint32_t major, uint32_t minor);

struct CgroupUsageFile;  // one file of a sample and its parser

class CgroupReader {
 public:
  // kOpen holds descriptors() of them from the first Read on.
  enum class Keep { kOpen, kNothing };

  // NotFound once the cgroup is gone. While nothing has run in it and its memory has not changed,
  // no stall has grown and their averages are zero, the rest is told as it was read before, at most
  // kAsleep ago.
  absl::StatusOr<CgroupUsage> Read(absl::Time now = SteadyNow());
  static constexpr absl::Duration kAsleep = absl::Seconds(10);
  // The next Read reads all: a limit has been changed.
  void Wake() { asleep_ = false; }
  // Opens each of its files.
  absl::StatusOr<CgroupDetails> ReadDetails() const;
  // Pids of the processes in the cgroup itself, not below it; at most `limit` of them.
  std::vector<pid_t> Processes(size_t limit) const;

  size_t descriptors() const { return keep_ == Keep::kOpen ? files_.size() : 0; }

 private:
  friend class Cgroups;
  struct File {
    const CgroupUsageFile* what;
    std::string path;
    UniqueFd fd;
    bool absent = false;  // this kernel does not have it
  };
  bool ReadFile(File& file, CgroupUsage* usage);
  bool Unchanged(const CgroupUsage& usage) const;
  void ReadDetailsV1(CgroupDetails* details) const;
  void ReadDetailsV2(CgroupDetails* details) const;
  void ReadHugePages(CgroupDetails* details) const;

  std::string cgroup_;  // for errors
  Keep keep_ = Keep::kNothing;
  bool v2_ = false;
  // Directories; "" where this node has no such hierarchy. On v2 all are the same one.
  std::string memory_, cpu_, cpuacct_, pids_, blkio_, hugetlb_;
  bool hugetlb_unified_ = false;
  std::vector<File> files_;
  CgroupUsage last_;
  absl::Time last_at_ = absl::InfinitePast();
  bool asleep_ = false;
};

}  // namespace berth
