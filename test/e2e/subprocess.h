// A program that a test runs, with its output in a file. Move-only; killed and reaped by the
// destructor.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace berth::e2e {

class Subprocess {
 public:
  struct Options {
    std::vector<std::string> argv;  // argv[0] is the path
    std::string output_path;        // stdout and stderr, appended; "" for /dev/null
  };
  static absl::StatusOr<Subprocess> Start(const Options& options);
  Subprocess() = default;
  Subprocess(Subprocess&& other) noexcept;
  Subprocess& operator=(Subprocess&& other) noexcept;
  ~Subprocess();

  pid_t pid() const { return pid_; }
  void Signal(int signal_number) const;
  // The exit code, or 128 + signal; nothing if it still runs after `patience`.
  std::optional<int> Wait(absl::Duration patience);
  std::string Output() const;

 private:
  void Reset();

  pid_t pid_ = -1;
  std::optional<int> exit_code_;
  std::string output_path_;
};

}  // namespace berth::e2e
