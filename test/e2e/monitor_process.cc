#include "test/e2e/monitor_process.h"

#include "absl/strings/str_split.h"
#include "test/e2e/process_search.h"

namespace berth::e2e {
namespace {

constexpr size_t kPodIdLength = 64;

}  // namespace

// The second word of their command line is the pod's id; that of other modes is an option.
std::vector<MonitorProcess> MonitorProcesses() {
  std::vector<MonitorProcess> monitors;
  ForEachProcess([&](pid_t pid, const std::string& command) {
    const std::vector<std::string> words = absl::StrSplit(command, '\0');
    if (words.size() > 1 && words[0] == "berth-monitor" && words[1].size() == kPodIdLength)
      monitors.push_back({.pid = pid, .pod = words[1]});
  });
  return monitors;
}

pid_t MonitorOf(const std::string& pod) {
  for (const MonitorProcess& monitor : MonitorProcesses()) {
    if (monitor.pod == pod) return monitor.pid;
  }
  return 0;
}

}  // namespace berth::e2e
