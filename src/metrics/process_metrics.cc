#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

#include "src/metrics/daemon_metrics.h"

namespace berth {
namespace {

// Fields of /proc/self/stat behind the command, which may hold spaces: the first is "state".
// proc(5)
std::vector<std::string> StatFields() {
  std::ifstream file("/proc/self/stat");
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::istringstream rest(text.substr(text.rfind(')') + 1));
  std::vector<std::string> fields;
  for (std::string field; rest >> field;) fields.push_back(field);
  return fields;
}

double BootTime() {
  std::ifstream file("/proc/stat");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("btime ", 0) == 0) return std::stod(line.substr(6));
  }
  return 0;
}

int OpenDescriptors() {
  DIR* directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  int count = -1;  // this one
  while (const dirent* entry = ::readdir(directory)) count += entry->d_name[0] != '.';
  ::closedir(directory);
  return count;
}

}  // namespace

std::vector<MetricReading> ReadProcessMetrics() {
  const std::vector<std::string> stat = StatFields();
  if (stat.size() < 22) return {};      // 24, without pid and command
  const auto field = [&](int number) {  // as proc(5) counts them
    return std::stod(stat[static_cast<size_t>(number - 3)]);
  };
  const double ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  rlimit limit = {};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return {
      {"process_cpu_seconds_total", "CPU time of berthd", (field(14) + field(15)) / ticks},
      {"process_threads", "Threads of berthd", field(20)},
      {"process_start_time_seconds", "When berthd was started", BootTime() + field(22) / ticks},
      {"process_virtual_memory_bytes", "Address space of berthd", field(23)},
      {"process_resident_memory_bytes", "Resident memory of berthd",
       field(24) * static_cast<double>(::sysconf(_SC_PAGESIZE))},
      {"process_open_fds", "Open file descriptors of berthd",
       static_cast<double>(OpenDescriptors())},
      {"process_max_fds", "Limit of open file descriptors", static_cast<double>(limit.rlim_cur)},
  };
}

}  // namespace berth
