// What /proc tells of the processes of a container. A process that ends meanwhile counts as absent.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace berth {

struct ProcessFacts {
  uint64_t processes = 0;
  uint64_t open_files = 0, sockets = 0;
  std::optional<uint64_t> open_files_limit;  // of the first process; unset: unlimited or unknown
};

// Looks at no more than `max_descriptors` descriptors in all.
ProcessFacts ReadProcessFacts(const std::vector<pid_t>& pids, size_t max_descriptors);

}  // namespace berth
