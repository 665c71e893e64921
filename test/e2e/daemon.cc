#include "test/e2e/daemon.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/base/unique_fd.h"
#include "test/e2e/eventually.h"

namespace berth::e2e {
namespace {

constexpr absl::Duration kReady = absl::Seconds(60);

// Not another's listener: one that was killed while it started a helper leaves its own to the child
// until that has come to its exec.
bool Accepts(const std::string& path, pid_t daemon) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return false;
  ucred listener{};
  socklen_t size = sizeof listener;
  return getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &listener, &size) == 0 &&
         listener.pid == daemon;
}

std::string LogPath(const Daemon::Options& options) { return options.dir + ".log"; }

void WriteConfig(const Daemon::Options& options) {
  std::filesystem::create_directories(options.dir);
  std::ofstream(options.dir + "/berth.toml")
      << "[network]\nbridge = \"" << options.bridge << "\"\nipv4_subnet = \"" << options.ipv4_subnet
      << "\"\nipv6_subnet = \"" << options.ipv6_subnet << "\"\nready_networks = \""
      << options.ready_networks << "\"\n\n[cgroup]\nroot = \"" << options.cgroup_root
      << "\"\ndriver = \"" << options.cgroup_driver << "\"\n\n"
      << options.more_config;
}

absl::StatusOr<Subprocess> Spawn(const Daemon::Options& options) {
  std::vector<std::string> argv = options.prefix;
  argv.insert(argv.end(), {options.program, "--dir", options.dir});
  return Subprocess::Start({.argv = argv, .output_path = LogPath(options)});
}

}  // namespace

std::string BerthdUnderTest() {
  const char* named = getenv("BERTH_E2E_BERTHD");
  return named != nullptr && *named != '\0' ? named : BERTH_BIN_DIR "/berthd";
}

absl::StatusOr<Daemon> Daemon::Start(const Options& options) {
  WriteConfig(options);
  Daemon daemon(options);
  RETURN_IF_ERROR(daemon.StartAgain());
  return daemon;
}

absl::Status Daemon::StartAgain() {
  ASSIGN_OR_RETURN(process_, Spawn(options_));
  bool exited = false;
  const bool ready = Eventually(kReady, [&] {
    exited = process_.Wait(absl::ZeroDuration()).has_value();
    return exited || Accepts(socket(), pid());
  });
  if (exited || !ready) {
    return absl::FailedPreconditionError(
        absl::StrCat("berthd ", exited ? "exited" : "does not accept", ", its log:\n", Log()));
  }
  return absl::OkStatus();
}

std::string Daemon::SanitizerReport(size_t skipped) const {
  const std::string log = Log();
  size_t first = std::string::npos;
  for (const char* sign : {"Sanitizer:", "runtime error:"})
    first = std::min(first, log.find(sign, skipped));
  return first == std::string::npos ? "" : log.substr(first);
}

bool Daemon::IsAlive(absl::Duration patience) { return !process_.Wait(patience).has_value(); }

absl::Status Daemon::Terminate() {
  process_.Signal(SIGTERM);
  const std::optional<int> code = process_.Wait(absl::Seconds(30));
  if (!code.has_value()) return absl::DeadlineExceededError("berthd does not end after SIGTERM");
  if (*code != 0)
    return absl::InternalError(
        absl::StrCat("berthd ends with ", *code, " after SIGTERM:\n", Log()));
  return absl::OkStatus();
}

absl::Status Daemon::Kill() {
  process_.Signal(SIGKILL);
  if (!process_.Wait(absl::Seconds(30)).has_value())
    return absl::DeadlineExceededError("berthd survives SIGKILL");
  return absl::OkStatus();
}

void RemoveTraces(const Daemon& daemon) {
  namespace fs = std::filesystem;
  const Daemon::Options& options = daemon.options();
  std::error_code ignored;
  fs::remove_all(options.dir, ignored);
  fs::remove(LogPath(options), ignored);
  const std::string commands =
      absl::StrCat("PATH=/usr/sbin:/usr/bin:/sbin:/bin; ip link del ", options.bridge,
                   "; nft delete table inet berth-", options.bridge);
  if (absl::StatusOr<Subprocess> shell = Subprocess::Start({.argv = {"/bin/sh", "-c", commands}});
      shell.ok()) {
    shell->Wait(absl::Seconds(30));
  }
  std::vector<fs::path> hierarchies = {"/sys/fs/cgroup"};
  for (const auto& entry : fs::directory_iterator("/sys/fs/cgroup", ignored))
    hierarchies.push_back(entry.path());
  for (const fs::path& hierarchy : hierarchies)
    rmdir((hierarchy.string() + options.cgroup_root).c_str());
}

absl::StatusOr<FailedStart> StartExpectingFailure(const Daemon::Options& options) {
  WriteConfig(options);
  std::filesystem::remove(LogPath(options));
  ASSIGN_OR_RETURN(Subprocess process, Spawn(options));
  const std::optional<int> code = process.Wait(kReady);
  if (!code.has_value())
    return absl::DeadlineExceededError(absl::StrCat("berthd runs on:\n", process.Output()));
  return FailedStart{.exit_code = *code, .output = process.Output()};
}

}  // namespace berth::e2e
