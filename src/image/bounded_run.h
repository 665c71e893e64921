// Runs a small program of the node's operator (credential helper, image verifier) to its end, with
// bounded time and output. Blocks the calling thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace berth {

struct BoundedRun {
  std::string path;               // absolute
  std::vector<std::string> argv;  // argv[0] included
  std::vector<std::string> env;   // nothing is inherited
  std::string input;              // its standard input
  absl::Duration deadline;
  size_t max_output = 64 << 10;     // of its standard output; standard error is dropped
  std::function<bool()> cancelled;  // may be empty; polled every 100 ms
};

struct RunResult {
  int exit_code = 0;  // 128 + signal for a program that died of one
  std::string output;
};

// DeadlineExceeded, ResourceExhausted (output) and Cancelled, errors of starting it. The program
// and what it left running in its process group have then been killed, and also after success.
absl::StatusOr<RunResult> RunBounded(const BoundedRun& run);

}  // namespace berth
