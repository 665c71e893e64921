#include "hack/benchmarks/command.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"
#include "src/kernel/process.h"

namespace berth::bench {
namespace {

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

absl::Status RunCommand(const std::vector<std::string>& argv) {
  ASSIGN_OR_RETURN(const SpawnedProcess process,
                   Spawn({.path = argv[0],
                          .argv = argv,
                          .env = {absl::StrCat("PATH=", Variable("PATH")),
                                  absl::StrCat("HOME=", Variable("HOME"))},
                          .fds = {-1, -1, STDERR_FILENO}}));
  siginfo_t end = {};
  if (::waitid(P_PIDFD, static_cast<id_t>(process.pidfd.get()), &end, WEXITED) != 0)
    return ErrnoStatus("waitid", argv[0]);
  if (end.si_code == CLD_EXITED && end.si_status == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(absl::StrJoin(argv, " "), ": ended with ",
                                          end.si_code == CLD_EXITED ? "exit code " : "signal ",
                                          end.si_status));
}

std::string FindProgram(const std::string& name) {
  for (absl::string_view folder : absl::StrSplit(Variable("PATH"), ':', absl::SkipEmpty())) {
    const std::string path = absl::StrCat(folder, "/", name);
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return "";
}

}  // namespace berth::bench
