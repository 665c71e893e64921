// One berthd under test: its directory, configuration, process and log. Move-only; the process is
// killed by the destructor (its monitors are not: they outlive a daemon).
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "test/e2e/subprocess.h"

namespace berth::e2e {

// This build's berthd, or the one that BERTH_E2E_BERTHD names: one that a sanitizer watches.
std::string BerthdUnderTest();

class Daemon {
 public:
  struct Options {
    std::string dir;          // created; --dir
    std::string cgroup_root;  // "/berth-e2e-1"
    std::string cgroup_driver = "cgroupfs";
    std::string bridge = "berthe2e";
    std::string ipv4_subnet = "10.201.0.0/24";
    std::string ipv6_subnet = "fd20:1::/64";
    std::string more_config = "";          // appended to DIR/berth.toml
    std::vector<std::string> prefix = {};  // e.g. a program that drops privileges first
    std::string program = BerthdUnderTest();
    int ready_networks = 3;  // the leak oracle's steady state (Node::Settle)
  };
  // Writes the configuration, starts berthd and waits until its socket accepts. A daemon that exits
  // instead is FailedPrecondition with its log.
  static absl::StatusOr<Daemon> Start(const Options& options);

  // SIGTERM, or SIGKILL, and the end of the process. DeadlineExceeded if it does not end.
  absl::Status Terminate();
  absl::Status Kill();
  // Starts the program again with the same directory, and waits until it is ready.
  absl::Status StartAgain();
  // False once the process has ended, whoever ended it, or does so within `patience`.
  bool IsAlive(absl::Duration patience = absl::ZeroDuration());

  const Options& options() const { return options_; }
  std::string socket() const { return options_.dir + "/berth.sock"; }
  pid_t pid() const { return process_.pid(); }
  std::string Log() const { return process_.Output(); }
  // What a sanitizer wrote to the log, of the daemon or of a helper, beyond its first `skipped`
  // bytes; "" if nothing. One that has ended so may have been started again since.
  std::string SanitizerReport(size_t skipped = 0) const;

 private:
  explicit Daemon(Options options) : options_(std::move(options)) {}

  Options options_;
  Subprocess process_;
};

// Removes what a daemon that has ended leaves for its next start: its directory, log, bridge,
// packet filter table and cgroup root. What else it left behind stays, for the oracle to find.
void RemoveTraces(const Daemon& daemon);

// A berthd that is not expected to become ready: runs it to its end (60 s) and returns exit code
// and output.
struct FailedStart {
  int exit_code = 0;
  std::string output;
};
absl::StatusOr<FailedStart> StartExpectingFailure(const Daemon::Options& options);

}  // namespace berth::e2e
