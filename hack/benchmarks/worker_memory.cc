#include "hack/benchmarks/worker_memory.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "hack/benchmarks/process_table.h"

namespace berth::bench {
namespace {

constexpr char kWorker[] = "Name:\tberth-pull\n";
constexpr absl::Duration kInterval = absl::Milliseconds(1);

// Of all threads of the daemon: a child belongs to the thread that started it.
std::set<pid_t> ChildrenOf(pid_t daemon) {
  std::set<pid_t> children;
  std::error_code error;
  for (const auto& task :
       std::filesystem::directory_iterator(absl::StrCat("/proc/", daemon, "/task"), error)) {
    const std::string text = ReadText(task.path() / "children");
    for (absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
      pid_t pid = 0;
      if (absl::SimpleAtoi(word, &pid)) children.insert(pid);
    }
  }
  return children;
}

}  // namespace

WorkerMemory::WorkerMemory(pid_t daemon) : daemon_(daemon), thread_([this] { Watch(); }) {}

WorkerMemory::~WorkerMemory() {
  stop_ = true;
  thread_.join();
}

void WorkerMemory::Watch() {
  while (!stop_) {
    for (const pid_t child : ChildrenOf(daemon_)) {
      const std::string status = ReadText(absl::StrCat("/proc/", child, "/status"));
      if (absl::StartsWith(status, kWorker))
        peak_kib_ = std::max<int64_t>(peak_kib_, KilobytesOf(status, "VmHWM"));
    }
    absl::SleepFor(kInterval);
  }
}

}  // namespace berth::bench
