// What /proc tells about processes: parents, cgroups, memory. Processes that vanish meanwhile count
// as absent.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace berth::bench {

// The whole text of a file, empty when it cannot be read.
std::string ReadText(const std::string& path);

// Kilobytes that the line "KEY:  N kB" of a smaps_rollup or status text names; 0 without such a
// line.
int64_t KilobytesOf(absl::string_view text, absl::string_view key);

// Proportional and resident memory, in KiB; 0 when the process is gone.
int64_t PssKib(pid_t pid);
int64_t RssKib(pid_t pid);

// User and system time, in the kernel's ticks of 10 ms; 0 when the process is gone.
absl::Duration CpuTimeOf(pid_t pid);

std::string CommandOf(pid_t pid);
pid_t ParentOf(pid_t pid);

// True when a line of the /proc/PID/cgroup text names `cgroup` or something below it.
bool NamesCgroup(absl::string_view proc_cgroup, absl::string_view cgroup);
bool InCgroup(pid_t pid, const std::string& cgroup);

// All processes in `cgroup` and below, in any hierarchy.
std::set<pid_t> ProcessesIn(const std::string& cgroup);

// `pids` and those of their ancestors that are neither `daemon`, process 1, nor ancestors of this
// program: a monitor that a runtime keeps outside the pod's cgroup is found this way.
std::set<pid_t> WithMonitors(const std::set<pid_t>& pids, pid_t daemon);

}  // namespace berth::bench
