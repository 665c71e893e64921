// What the monitor does with a container's cgroup, through a directory fd that berthd handed over.
#pragma once

namespace berth::monitor {

// SIGKILL to all in the cgroup: cgroup.kill where there is one (kernel 5.14, cgroup2), otherwise
// every pid of cgroup.procs until none is left to find.
void KillCgroup(int directory);

// True if the cgroup is there, without a process and without a cgroup below it.
// `processes`, if given, is its open cgroup.procs, or -1 and then set to that: only of a cgroup2,
// as v1 goes on telling what it once told.
bool CgroupIsEmpty(int directory, int* processes = nullptr);

// How often the OOM killer struck in the cgroup: memory.events (v2) or memory.oom_control (v1). 0
// if unknown.
long OomKills(int memory_directory);

}  // namespace berth::monitor
