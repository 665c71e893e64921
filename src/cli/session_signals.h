// What a session has to hear of besides Ctrl-C: the terminal's size, its end, and being stopped.
#pragma once

#include <csignal>

#include "src/base/unique_fd.h"

namespace berth::cli {

// While it lives, SIGWINCH, SIGHUP, SIGQUIT and SIGTSTP are blocked in the thread that made it and
// in threads started afterwards, and SIGPIPE is ignored; so it must stand before the first Client.
// Not thread-safe.
class SessionSignals {
 public:
  SessionSignals();
  SessionSignals(const SessionSignals&) = delete;
  SessionSignals& operator=(const SessionSignals&) = delete;
  ~SessionSignals();

  // Readable once a signal has come; borrowed.
  int fd() const { return fd_.get(); }
  // The number of one that came; 0 if there is none.
  int Take();

 private:
  sigset_t old_mask_;
  struct sigaction old_pipe_ = {};
  UniqueFd fd_;
};

}  // namespace berth::cli
