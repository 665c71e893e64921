#include "test/e2e/process_search.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"

namespace berth::e2e {

void ForEachProcess(absl::FunctionRef<void(pid_t pid, const std::string& command)> visit) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    int pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
    std::ifstream file(entry.path() / "cmdline");
    std::ostringstream command;
    command << file.rdbuf();  // nothing when the process ended meanwhile (ESRCH)
    visit(pid, command.str());
  }
}

pid_t ProcessWith(const std::string& word) {
  pid_t found = 0;
  ForEachProcess([&](pid_t pid, const std::string& command) {
    if (found == 0 && absl::StrContains(command, word)) found = pid;
  });
  return found;
}

std::vector<pid_t> ProcessesNamed(const std::string& name) {
  std::vector<pid_t> found;
  ForEachProcess([&](pid_t pid, const std::string& command) {
    if (absl::StartsWith(command, name)) found.push_back(pid);
  });
  return found;
}

}  // namespace berth::e2e
