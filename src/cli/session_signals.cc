#include "src/cli/session_signals.h"

#include <sys/signalfd.h>

namespace berth::cli {

SessionSignals::SessionSignals() {
  sigset_t mask;
  sigemptyset(&mask);
  for (const int number : {SIGWINCH, SIGHUP, SIGQUIT, SIGTSTP}) sigaddset(&mask, number);
  pthread_sigmask(SIG_BLOCK, &mask, &old_mask_);
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, &old_pipe_);
  fd_.reset(signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
}

SessionSignals::~SessionSignals() {
  sigaction(SIGPIPE, &old_pipe_, nullptr);
  pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
}

int SessionSignals::Take() {
  signalfd_siginfo info;
  return read(fd_.get(), &info, sizeof(info)) == sizeof(info) ? static_cast<int>(info.ssi_signo)
                                                              : 0;
}

}  // namespace berth::cli
