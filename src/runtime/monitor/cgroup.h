// What the monitor does with a container's cgroup, through a directory fd that berthd handed over.
#pragma once

namespace berth::monitor {

// SIGKILL to all in the cgroup: cgroup.kill where there is one (kernel 5.14, cgroup2), otherwise
// every pid of cgroup.procs until none is left to find.
void KillCgroup(int directory);

// True if cgroup.procs of the cgroup is empty.
bool CgroupIsEmpty(int directory);

// How often the OOM killer struck in the cgroup: memory.events (v2) or memory.oom_control (v1). 0
// if unknown.
long OomKills(int memory_directory);

}  // namespace berth::monitor
