// The program `berth` as a person runs it: with pipes, and on a terminal. Move-only; what still
// runs is killed and reaped by the destructor.
#pragma once

#include <sys/types.h>
#include <termios.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "src/base/unique_fd.h"

namespace berth::e2e {

struct CommandResult {
  int code = -1;  // 128 + signal
  std::string out, err;
};

// Runs `berth --socket SOCKET ARGUMENTS...` to its end with `input` as stdin; killed after a
// minute.
absl::StatusOr<CommandResult> RunBerth(const std::string& socket,
                                       const std::vector<std::string>& arguments,
                                       const std::string& input = "");

// The same of any program; argv[0] is its path.
absl::StatusOr<CommandResult> RunProgram(const std::vector<std::string>& argv,
                                         const std::string& input = "");

// A child, with pipes that the caller reads and writes.
class Child {
 public:
  struct Pipes {
    UniqueFd in, out, err;  // ours
  };
  // `terminal`: becomes the child's controlling terminal and all its stdio; else pipes.
  static absl::StatusOr<Child> Start(const std::vector<std::string>& argv, int terminal = -1);
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) = delete;
  ~Child();

  Pipes& pipes() { return pipes_; }
  pid_t pid() const { return pid_; }
  std::optional<int> Wait(absl::Duration patience);

 private:
  Child(pid_t pid, Pipes pipes) : pid_(pid), pipes_(std::move(pipes)) {}
  pid_t pid_ = -1;
  std::optional<int> code_;
  Pipes pipes_;
};

// Reads until what came (and comes) holds `text`; what was read up to and with it.
absl::StatusOr<std::string> ReadUntil(int fd, const std::string& text, std::string* rest,
                                      absl::Duration patience = absl::Seconds(30));

std::vector<std::string> BerthArgv(const std::string& socket,
                                   const std::vector<std::string>& arguments);

// A pseudo terminal with `berth` on it.
class Terminal {
 public:
  static absl::StatusOr<Terminal> Start(const std::string& socket,
                                        const std::vector<std::string>& arguments, int rows = 24,
                                        int columns = 80);

  // As typed; "\r" is the enter key.
  absl::Status Type(const std::string& keys) const;
  // Reads on until the screen has shown `text`; returns all from the last call on.
  absl::StatusOr<std::string> Expect(const std::string& text,
                                     absl::Duration patience = absl::Seconds(30));
  void Resize(int rows, int columns) const;
  void Signal(int signal_number) const;
  // Lines are edited and echoed by the terminal again, as they were before.
  bool IsCooked() const;
  // Goes on reading meanwhile, into what Expect returns.
  std::optional<int> Wait(absl::Duration patience = absl::Seconds(30));
  // Ends our side: as when a window is closed.
  void HangUp();
  pid_t pid() const { return child_.pid(); }

 private:
  Terminal(UniqueFd master, UniqueFd slave, Child child)
      : master_(std::move(master)), slave_(std::move(slave)), child_(std::move(child)) {}
  UniqueFd master_, slave_;
  Child child_;
  std::string unread_;
};

}  // namespace berth::e2e
