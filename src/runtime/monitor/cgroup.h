// What the monitor does with a container's cgroup, through a directory fd that berthd handed over.
#pragma once

namespace berth::monitor {

// SIGKILL to all in the cgroup: cgroup.kill where there is one (kernel 5.14, cgroup2), otherwise
// every pid of cgroup.procs until none is left to find.
void KillCgroup(int directory);

// True if the cgroup is there, without a process and without a cgroup below it.
bool CgroupIsEmpty(int directory);

// How often the OOM killer struck in the cgroup: memory.events (v2) or memory.oom_control (v1). 0
// if unknown.
long OomKills(int memory_directory);

}  // namespace berth::monitor
