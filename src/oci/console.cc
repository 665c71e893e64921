#include "src/oci/console.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/kernel/socket.h"

namespace berth::oci {
namespace {

// A terminal in raw mode; as it was again at the end.
class RawMode {
 public:
  explicit RawMode(int fd) : fd_(fd), active_(::tcgetattr(fd, &before_) == 0) {
    if (!active_) return;
    termios raw = before_;
    ::cfmakeraw(&raw);
    ::tcsetattr(fd_, TCSANOW, &raw);
  }
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;
  ~RawMode() {
    if (active_) ::tcsetattr(fd_, TCSANOW, &before_);
  }

 private:
  const int fd_;
  termios before_;
  const bool active_;
};

void CopySize(int from, int to) {
  winsize size;
  if (::ioctl(from, TIOCGWINSZ, &size) == 0) ::ioctl(to, TIOCSWINSZ, &size);
}

bool WriteAll(int fd, const char* data, ssize_t bytes) {
  for (ssize_t done = 0; done < bytes;) {
    const ssize_t n = ::write(fd, data + done, static_cast<size_t>(bytes - done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += n;
  }
  return true;
}

// One read's worth; false at the end of either side. The master gives EIO once nobody has the other
// end open (pty(7)).
bool Copy(int from, int to) {
  char buffer[32 << 10];
  const ssize_t n = ::read(from, buffer, sizeof(buffer));
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  return n > 0 && WriteAll(to, buffer, n);
}

int ExitCode(const siginfo_t& info) {
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

class Attendance {
 public:
  Attendance(pid_t pid, UniqueFd master) : pid_(pid), master_(std::move(master)) {}

  absl::StatusOr<int> Run() {
    RETURN_IF_ERROR(Open());
    const RawMode raw(master_.valid() ? STDIN_FILENO : -1);
    if (master_.valid()) CopySize(STDIN_FILENO, master_.get());
    while (true) {
      std::array<pollfd, 4> waiting = {{
          {.fd = pidfd_.get(), .events = POLLIN},
          {.fd = signals_.get(), .events = POLLIN},
          {.fd = master_.get(), .events = POLLIN},
          {.fd = master_.valid() && stdin_open_ ? STDIN_FILENO : -1, .events = POLLIN},
      }};
      if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR)
        return ErrnoStatus("poll", "container");
      if (waiting[1].revents != 0) Signals();
      if (waiting[2].revents != 0 && !Copy(master_.get(), STDOUT_FILENO)) master_.reset();
      if (waiting[3].revents != 0 && !Copy(STDIN_FILENO, master_.get())) stdin_open_ = false;
      if (waiting[0].revents != 0) return Finish();
    }
  }

 private:
  absl::Status Open() {
    pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    if (!pidfd_.valid()) return ErrnoStatus("pidfd_open", absl::StrCat(pid_));
    sigset_t all;
    sigfillset(&all);
    for (const int mine :
         {SIGCHLD, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGPIPE, SIGTTIN, SIGTTOU}) {
      sigdelset(&all, mine);
    }
    if (::sigprocmask(SIG_SETMASK, &all, nullptr) != 0) return ErrnoStatus("sigprocmask", "all");
    signals_.reset(::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
    return signals_.valid() ? absl::OkStatus() : ErrnoStatus("signalfd", "all");
  }

  void Signals() {
    signalfd_siginfo info;
    while (::read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
      if (info.ssi_signo == SIGWINCH && master_.valid()) {
        CopySize(STDIN_FILENO, master_.get());
      } else {
        ::syscall(SYS_pidfd_send_signal, pidfd_.get(), info.ssi_signo, nullptr, 0);
      }
    }
  }

  // What the process wrote before it ended is still in the terminal.
  absl::StatusOr<int> Finish() {
    if (master_.valid() && ::fcntl(master_.get(), F_SETFL, O_RDWR | O_NONBLOCK) == 0) {
      char buffer[4096];
      ssize_t n;
      while ((n = ::read(master_.get(), buffer, sizeof(buffer))) > 0) {
        if (!WriteAll(STDOUT_FILENO, buffer, n)) break;
      }
    }
    siginfo_t info = {};
    if (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) != 0)
      return ErrnoStatus("waitid", absl::StrCat(pid_));
    return ExitCode(info);
  }

  const pid_t pid_;
  UniqueFd master_, pidfd_, signals_;
  bool stdin_open_ = true;
};

}  // namespace

absl::Status SendConsole(const std::string& path, const UniqueFd& master) {
  ASSIGN_OR_RETURN(const UniqueFd socket, ConnectUnix(path, SOCK_STREAM));
  return SendPacket(socket.get(), "/dev/ptmx", {master.get()});
}

absl::Status SetConsoleSize(const UniqueFd& master, const ConsoleSize& size) {
  if (size.rows == 0 && size.columns == 0) return absl::OkStatus();
  const winsize wanted = {.ws_row = size.rows, .ws_col = size.columns};
  if (::ioctl(master.get(), TIOCSWINSZ, &wanted) != 0)
    return ErrnoStatus("set size of", "the terminal");
  return absl::OkStatus();
}

absl::StatusOr<int> Attend(pid_t pid, UniqueFd master) {
  return Attendance(pid, std::move(master)).Run();
}

}  // namespace berth::oci
