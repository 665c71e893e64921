// What a node has counted since berthd was started, for metrics. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>

namespace berth {

struct NodeCounters {
  std::atomic<int64_t> oom_kills = 0;        // containers that ended for want of memory
  std::atomic<int64_t> restarts = 0;         // containers created with an attempt above 0
  std::atomic<int64_t> monitors_lost = 0;    // that ended before their pod
  std::atomic<int64_t> leaks_reaped = 0;     // leftovers without a record, found and removed
  std::atomic<int64_t> records_damaged = 0;  // of which nothing but a name was left
  std::atomic<int64_t> cgroups_killed = 0;   // that were not empty when they were removed
};

}  // namespace berth
