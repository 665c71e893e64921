#include "src/cli/interrupt.h"

#include <sys/signalfd.h>

namespace berth::cli {

Interrupt::Interrupt() {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGINT);
  sigaddset(&mask, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &mask, &old_mask_);
  fd_.reset(signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
}

Interrupt::~Interrupt() { pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr); }

int Interrupt::Take() {
  signalfd_siginfo info;
  return read(fd_.get(), &info, sizeof(info)) == sizeof(info) ? static_cast<int>(info.ssi_signo)
                                                              : 0;
}

}  // namespace berth::cli
