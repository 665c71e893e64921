// A terminal that passes every key on at once and unchanged, for as long as this lives.
#pragma once

#include <termios.h>

#include <memory>

#include "absl/status/statusor.h"

namespace berth::cli {

// Given back as it was by the destructor, and before the process dies of a crash (SIGSEGV,
// SIGABRT, ...). Signals that end the process otherwise have to be taken as events by its user
// (SessionSignals). At most one at a time. Not thread-safe.
class RawTerminal {
 public:
  // FailedPrecondition if `fd`, which is borrowed, is no terminal.
  static absl::StatusOr<std::unique_ptr<RawTerminal>> Enter(int fd);
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal();

  // Gives the terminal back, for a while in which the process is stopped; and takes it again.
  void Suspend();
  void Resume();

 private:
  RawTerminal(int fd, const termios& before) : fd_(fd), before_(before) {}

  const int fd_;
  const termios before_;
};

}  // namespace berth::cli
