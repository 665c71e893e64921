// The berth-monitor processes of this node, as seen from outside of them.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace berth::e2e {

struct MonitorProcess {
  pid_t pid = 0;
  std::string pod;  // id
};

// Those that have a pod, of all daemons of the node.
std::vector<MonitorProcess> MonitorProcesses();

// 0 if it has none.
pid_t MonitorOf(const std::string& pod);

// Those of a daemon that wait for their pods.
std::vector<pid_t> ReadyMonitors(pid_t daemon);

}  // namespace berth::e2e
