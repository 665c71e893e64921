#include "test/e2e/monitor_process.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "test/e2e/process_search.h"
#include "test/e2e/text_file.h"

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

std::vector<pid_t> ReadyMonitors(pid_t daemon) {
  std::vector<pid_t> ready;
  ForEachProcess([&](pid_t pid, const std::string& command) {
    const bool waits = absl::StartsWith(command, absl::string_view("berth-monitor\0ready\0", 20));
    const std::string parent = absl::StrCat("\nPPid:\t", daemon, "\n");
    if (waits && absl::StrContains(ContentOf(absl::StrCat("/proc/", pid, "/status")), parent))
      ready.push_back(pid);
  });
  return ready;
}

}  // namespace berth::e2e
