// The least that a full answer to ListContainerStats asks of the kernel: each file that it is made
// of is read once, from descriptors that stay open. Not thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "src/base/unique_fd.h"

namespace berth::bench {

class StatsSweep {
 public:
  // Of all containers in pods below the cgroup `pods`, in every hierarchy: two levels down, without
  // the monitors'.
  explicit StatsSweep(const std::string& pods);

  // CPU time that it took. InternalError: a file could not be read.
  absl::StatusOr<absl::Duration> Read() const;
  size_t files() const { return files_.size(); }

 private:
  std::vector<UniqueFd> files_;
};

}  // namespace berth::bench
