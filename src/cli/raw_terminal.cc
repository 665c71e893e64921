#include "src/cli/raw_terminal.h"

#include <signal.h>
#include <unistd.h>

#include <array>

namespace berth::cli {
namespace {

constexpr std::array kCrashes = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

// For the handler, which has no other way to know of it.
termios crash_settings;
volatile sig_atomic_t crash_fd = -1;

void RestoreAndDie(int signal_number) {
  if (crash_fd >= 0) tcsetattr(crash_fd, TCSANOW, &crash_settings);
  raise(signal_number);  // SA_RESETHAND: the default action now
}

void WatchCrashes(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = handler == SIG_DFL ? 0 : SA_RESETHAND | SA_NODEFER;
  for (const int crash : kCrashes) sigaction(crash, &action, nullptr);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RawTerminal>> RawTerminal::Enter(int fd) {
  termios before;
  if (tcgetattr(fd, &before) != 0)
    return absl::FailedPreconditionError("the input is not a terminal");
  crash_settings = before;
  crash_fd = fd;
  WatchCrashes(RestoreAndDie);
  auto terminal = std::unique_ptr<RawTerminal>(new RawTerminal(fd, before));
  terminal->Resume();
  return terminal;
}

RawTerminal::~RawTerminal() {
  Suspend();
  crash_fd = -1;
  WatchCrashes(SIG_DFL);
}

void RawTerminal::Suspend() { tcsetattr(fd_, TCSANOW, &before_); }

void RawTerminal::Resume() {
  termios raw = before_;
  cfmakeraw(&raw);
  tcsetattr(fd_, TCSANOW, &raw);
}

}  // namespace berth::cli
