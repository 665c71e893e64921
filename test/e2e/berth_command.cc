#include "test/e2e/berth_command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "test/e2e/eventually.h"

namespace berth::e2e {
namespace {

constexpr absl::Duration kCommandPatience = absl::Minutes(1);

// Appends what is there; false at the end.
bool ReadSome(int fd, std::string* to) {
  std::array<char, 65536> buffer;
  const ssize_t n = ::read(fd, buffer.data(), buffer.size());
  if (n > 0) to->append(buffer.data(), static_cast<size_t>(n));
  return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

[[noreturn]] void BecomeChild(const std::vector<char*>& argv, int in, int out, int err,
                              bool terminal) {
  ::setsid();
  if (terminal) ::ioctl(in, TIOCSCTTY, 0);
  if (::dup2(in, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(err, 2) < 0) ::_exit(127);
  ::closefrom(3);
  ::signal(SIGPIPE, SIG_DFL);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

}  // namespace

absl::StatusOr<Child> Child::Start(const std::vector<std::string>& words, int terminal) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  Pipes ours, theirs;
  if (terminal < 0) {
    for (const auto& [read, write] :
         {std::pair{&theirs.in, &ours.in}, {&ours.out, &theirs.out}, {&ours.err, &theirs.err}}) {
      int fds[2];
      if (::pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus("pipe", "berth");
      read->reset(fds[0]);
      write->reset(fds[1]);
    }
  }
  const pid_t pid = ::fork();
  if (pid < 0) return ErrnoStatus("fork", words[0]);
  if (pid == 0) {
    if (terminal >= 0) BecomeChild(argv, terminal, terminal, terminal, true);
    BecomeChild(argv, theirs.in.get(), theirs.out.get(), theirs.err.get(), false);
  }
  return Child(pid, std::move(ours));
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), code_(other.code_), pipes_(std::move(other.pipes_)) {}

Child::~Child() {
  if (pid_ <= 0 || code_.has_value()) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

std::optional<int> Child::Wait(absl::Duration patience) {
  int status = 0;
  if (code_.has_value()) return code_;
  const bool ended =
      Eventually(patience, [&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; });
  if (ended) code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return code_;
}

std::vector<std::string> BerthArgv(const std::string& socket,
                                   const std::vector<std::string>& arguments) {
  std::vector<std::string> argv = {BERTH_BIN_DIR "/berth", "--socket", socket};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return argv;
}

absl::StatusOr<CommandResult> RunBerth(const std::string& socket,
                                       const std::vector<std::string>& arguments,
                                       const std::string& input) {
  return RunProgram(BerthArgv(socket, arguments), input);
}

absl::StatusOr<CommandResult> RunProgram(const std::vector<std::string>& argv,
                                         const std::string& input) {
  ASSIGN_OR_RETURN(Child child, Child::Start(argv));
  Child::Pipes& pipes = child.pipes();
  ::fcntl(pipes.in.get(), F_SETFL, O_NONBLOCK);
  CommandResult result;
  size_t written = 0;
  const absl::Time until = absl::Now() + kCommandPatience;
  while (pipes.out.valid() || pipes.err.valid()) {
    if (written == input.size()) pipes.in.reset();
    pollfd fds[] = {{.fd = pipes.in.get(), .events = POLLOUT, .revents = 0},
                    {.fd = pipes.out.get(), .events = POLLIN, .revents = 0},
                    {.fd = pipes.err.get(), .events = POLLIN, .revents = 0}};
    ::poll(fds, 3, 1000);
    if (absl::Now() > until) return absl::DeadlineExceededError(argv[0]);
    if (fds[0].revents != 0) {
      const ssize_t n = ::write(pipes.in.get(), input.data() + written, input.size() - written);
      if (n < 0 && errno != EAGAIN) pipes.in.reset();
      written += n > 0 ? static_cast<size_t>(n) : 0;
    }
    if (fds[1].revents != 0 && !ReadSome(pipes.out.get(), &result.out)) pipes.out.reset();
    if (fds[2].revents != 0 && !ReadSome(pipes.err.get(), &result.err)) pipes.err.reset();
  }
  const std::optional<int> code = child.Wait(kCommandPatience);
  if (!code.has_value()) return absl::DeadlineExceededError(argv[0]);
  result.code = *code;
  return result;
}

absl::StatusOr<std::string> ReadUntil(int fd, const std::string& text, std::string* rest,
                                      absl::Duration patience) {
  const absl::Time until = absl::Now() + patience;
  while (true) {
    const size_t found = rest->find(text);
    if (found != std::string::npos) {
      std::string read = rest->substr(0, found + text.size());
      rest->erase(0, found + text.size());
      return read;
    }
    pollfd ready = {.fd = fd, .events = POLLIN, .revents = 0};
    ::poll(&ready, 1, 100);
    const bool more = ready.revents == 0 || ReadSome(fd, rest);
    if (!more) return absl::OutOfRangeError(absl::StrCat("it ended with: ", *rest));
    if (absl::Now() > until)
      return absl::DeadlineExceededError(absl::StrCat("\"", text, "\" is not in: ", *rest));
  }
}

absl::StatusOr<Terminal> Terminal::Start(const std::string& socket,
                                         const std::vector<std::string>& arguments, int rows,
                                         int columns) {
  UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!master.valid() || ::grantpt(master.get()) != 0 || ::unlockpt(master.get()) != 0)
    return ErrnoStatus("posix_openpt", "terminal");
  char name[64];
  if (::ptsname_r(master.get(), name, sizeof(name)) != 0) return ErrnoStatus("ptsname", "terminal");
  UniqueFd slave(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!slave.valid()) return ErrnoStatus("open", name);
  const winsize size = {static_cast<unsigned short>(rows), static_cast<unsigned short>(columns), 0,
                        0};
  ::ioctl(master.get(), TIOCSWINSZ, &size);
  ASSIGN_OR_RETURN(Child child, Child::Start(BerthArgv(socket, arguments), slave.get()));
  return Terminal(std::move(master), std::move(slave), std::move(child));
}

absl::Status Terminal::Type(const std::string& keys) const {
  const ssize_t n = ::write(master_.get(), keys.data(), keys.size());
  return n == static_cast<ssize_t>(keys.size()) ? absl::OkStatus() : ErrnoStatus("write", "keys");
}

absl::StatusOr<std::string> Terminal::Expect(const std::string& text, absl::Duration patience) {
  return ReadUntil(master_.get(), text, &unread_, patience);
}

void Terminal::Resize(int rows, int columns) const {
  const winsize size = {static_cast<unsigned short>(rows), static_cast<unsigned short>(columns), 0,
                        0};
  ::ioctl(master_.get(), TIOCSWINSZ, &size);
}

void Terminal::Signal(int signal_number) const { ::kill(child_.pid(), signal_number); }

bool Terminal::IsCooked() const {
  termios settings;
  return ::tcgetattr(slave_.get(), &settings) == 0 && (settings.c_lflag & ICANON) != 0 &&
         (settings.c_lflag & ECHO) != 0 && (settings.c_oflag & OPOST) != 0;
}

std::optional<int> Terminal::Wait(absl::Duration patience) {
  const absl::Time until = absl::Now() + patience;
  while (absl::Now() < until) {
    pollfd ready = {.fd = master_.get(), .events = POLLIN, .revents = 0};
    if (master_.valid() && ::poll(&ready, 1, 10) > 0 && (ready.revents & POLLIN) != 0)
      ReadSome(master_.get(), &unread_);
    if (const auto code = child_.Wait(absl::Milliseconds(10)); code.has_value()) return code;
  }
  return std::nullopt;
}

void Terminal::HangUp() {
  slave_.reset();
  master_.reset();
}

}  // namespace berth::e2e
