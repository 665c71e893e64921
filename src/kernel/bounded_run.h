// Runs a small program of the node's operator (credential helper, image verifier, CNI plugin) to
// its end, with bounded time and output. Blocks the calling thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "src/kernel/cgroup.h"

namespace berth {

struct BoundedRun {
  std::string path;               // absolute
  std::vector<std::string> argv;  // argv[0] included
  std::vector<std::string> env;   // nothing is inherited
  std::string input;              // its standard input
  absl::Duration deadline;
  size_t max_output = 64 << 10;     // of its standard output
  size_t keep_error = 0;            // so much of its standard error is kept, the rest is dropped
  std::function<bool()> cancelled;  // may be empty; polled every 100 ms
  std::function<void()> meanwhile;  // may be empty; called once while the program runs
  const CgroupHandle* cgroup = nullptr;  // where it starts; may be null
};

struct RunResult {
  int exit_code = 0;  // 128 + signal for a program that died of one
  std::string output, error_output;
};

// DeadlineExceeded, ResourceExhausted (output) and Cancelled, errors of starting it. The program
// and what it left running in its process group have then been killed, and also after success.
absl::StatusOr<RunResult> RunBounded(const BoundedRun& run);

}  // namespace berth
