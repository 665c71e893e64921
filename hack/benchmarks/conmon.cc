#include "hack/benchmarks/conmon.h"

#include <filesystem>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "hack/benchmarks/command.h"
#include "hack/benchmarks/process_table.h"
#include "nlohmann/json.hpp"
#include "src/base/status_macros.h"

namespace berth::bench {
namespace {

constexpr char kId[] = "berth-bench-conmon";
constexpr absl::Duration kPatience = absl::Seconds(30), kPoll = absl::Milliseconds(10);

absl::Status WriteBundle(const ConmonContainer::Options& options) {
  const nlohmann::json config = {
      {"ociVersion", "1.0.2"},
      {"process",
       {{"terminal", false},
        {"user", {{"uid", 0}, {"gid", 0}}},
        {"args", options.args},
        {"env", {"PATH=/bin"}},
        {"cwd", "/"}}},
      {"root", {{"path", options.root}, {"readonly", true}}},
      {"mounts", {{{"destination", "/proc"}, {"type", "proc"}, {"source", "proc"}}}},
      {"linux", {{"namespaces", {{{"type", "pid"}}, {{"type", "mount"}}}}}}};
  std::ofstream file(absl::StrCat(options.directory, "/config.json"));
  file << config.dump() << std::flush;
  return file ? absl::OkStatus() : absl::InternalError("write config.json of the bundle");
}

// The number in a file that appears once it is known.
absl::StatusOr<pid_t> AwaitPid(const std::string& path) {
  const absl::Time until = absl::Now() + kPatience;
  while (absl::Now() < until) {
    pid_t pid = 0;
    if (absl::SimpleAtoi(ReadText(path), &pid) && pid > 0) return pid;
    absl::SleepFor(kPoll);
  }
  return absl::DeadlineExceededError(absl::StrCat("no pid in ", path));
}

}  // namespace

absl::Status ConmonContainer::Runc(const std::vector<std::string>& arguments) const {
  std::vector<std::string> argv = {FindProgram("runc"), "--root", directory_ + "/runc"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return RunCommand(argv);
}

absl::StatusOr<ConmonContainer> ConmonContainer::Create(const Options& options) {
  std::filesystem::create_directories(options.directory);
  RETURN_IF_ERROR(WriteBundle(options));
  ConmonContainer container(options.directory);
  const std::string& directory = options.directory;
  RETURN_IF_ERROR(RunCommand({FindProgram("conmon"),
                              "--cid",
                              kId,
                              "--cuuid",
                              kId,
                              "--name",
                              kId,
                              "--runtime",
                              FindProgram("runc"),
                              "--runtime-arg",
                              absl::StrCat("--root=", directory, "/runc"),
                              "--bundle",
                              directory,
                              "--container-pidfile",
                              directory + "/container.pid",
                              "--conmon-pidfile",
                              directory + "/conmon.pid",
                              "--exit-dir",
                              directory,
                              "--socket-dir-path",
                              directory,
                              "--log-path",
                              absl::StrCat("k8s-file:", options.log)}));
  RETURN_IF_ERROR(AwaitPid(directory + "/container.pid").status());
  ASSIGN_OR_RETURN(container.conmon_, AwaitPid(directory + "/conmon.pid"));
  return container;
}

absl::Status ConmonContainer::Start() const { return Runc({"start", kId}); }
absl::Status ConmonContainer::Remove() const { return Runc({"delete", "--force", kId}); }

}  // namespace berth::bench
