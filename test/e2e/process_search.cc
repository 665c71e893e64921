#include "test/e2e/process_search.h"

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "test/e2e/text_file.h"

namespace berth::e2e {

void ForEachProcess(absl::FunctionRef<void(pid_t pid, const std::string& command)> visit) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    int pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
    visit(pid, ContentOf(entry.path() / "cmdline"));
  }
}

pid_t ProcessWith(const std::string& word) {
  pid_t found = 0;
  ForEachProcess([&](pid_t pid, const std::string& command) {
    if (found == 0 && absl::StrContains(command, word)) found = pid;
  });
  return found;
}

}  // namespace berth::e2e
