// Ctrl-C and SIGTERM as something to wait for, instead of the end of the process.
#pragma once

#include <csignal>

#include "src/base/unique_fd.h"

namespace berth::cli {

// While it lives, both signals are blocked in the thread that made it and in threads started
// afterwards; so it must stand before the first Client. Not thread-safe.
class Interrupt {
 public:
  Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  ~Interrupt();

  // Readable once a signal has come; borrowed.
  int fd() const { return fd_.get(); }
  // Consumes one signal and returns its number; 0 if there is none.
  int Take();

 private:
  sigset_t old_mask_;
  UniqueFd fd_;
};

}  // namespace berth::cli
