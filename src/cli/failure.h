// What a failed command carries to the terminal besides its status: a hint (what to do) and the
// exit code. Both travel as payloads of the absl::Status.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace berth::cli {

inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitRefused = 125;      // run, exec: Berth could not start the command
inline constexpr int kExitNotRunnable = 126;  // run, exec: the command is no executable
inline constexpr int kExitNotFound = 127;     // run, exec: there is no such command
inline constexpr int kExitInterrupted = 130;  // 128 + SIGINT

absl::Status WithHint(absl::Status status, absl::string_view hint);
absl::Status WithExitCode(absl::Status status, int code);

// The status with "<context>: " in front; hint and exit code are kept.
absl::Status InContext(const absl::Status& status, absl::string_view context);

// "" where none was given.
std::string HintOf(const absl::Status& status);
// `otherwise` where none was given.
int ExitCodeOf(const absl::Status& status, int otherwise);

// "berth: <message>", and a second line with the hint; safe for a terminal.
std::string DescribeFailure(const absl::Status& status, bool colour);

// The code of a container command that could not be started, from the answer to StartContainer or
// ExecSync: 127 no such command, 126 not executable, 125 anything else.
int LaunchExitCode(const absl::Status& status);

}  // namespace berth::cli
