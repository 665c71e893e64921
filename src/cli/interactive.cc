#include "src/cli/interactive.h"

#include <unistd.h>

#include <CLI/CLI.hpp>

#include "src/cli/detach_keys.h"
#include "src/cli/failure.h"

namespace berth::cli {

void AddInteractiveFlags(CLI::App& command, InteractiveFlags* flags) {
  command.add_flag("-i,--interactive", flags->stdin_open, "pass what is typed or piped in on");
  command.add_flag("-t,--tty", flags->tty, "give the command a terminal");
  AddDetachKeys(command, &flags->detach_keys);
}

void AddDetachKeys(CLI::App& command, std::string* keys) {
  *keys = kDefaultDetachKeys;
  command.add_option("--detach-keys", *keys, "leave the terminal by these keys; \"\" for none")
      ->capture_default_str()
      ->type_name("KEYS");
}

absl::Status CheckInteractive(const InteractiveFlags& flags) {
  const absl::Status keys = ParseDetachKeys(flags.detach_keys).status();
  if (!keys.ok()) return WithExitCode(InContext(keys, "--detach-keys"), kExitUsage);
  if (!flags.stdin_open || !flags.tty || isatty(STDIN_FILENO) == 1) return absl::OkStatus();
  return WithHint(absl::FailedPreconditionError("-t: the input is not a terminal"),
                  "leave -t out to pipe something in");
}

SessionOptions SessionOptionsOf(const InteractiveFlags& flags) {
  const bool input_is_terminal = isatty(STDIN_FILENO) == 1;
  return {.tty = flags.tty,
          .stdin_fd = flags.stdin_open ? STDIN_FILENO : -1,
          .terminal_fd = input_is_terminal ? STDIN_FILENO : STDOUT_FILENO,
          .detach_keys = ParseDetachKeys(flags.detach_keys).value_or("")};
}

}  // namespace berth::cli
