// An exec or attach session seen from its user: keys and bytes in, output out, the terminal's size,
// signals, and how it ended.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "src/cli/interrupt.h"
#include "src/cli/output.h"
#include "src/cli/session_signals.h"

namespace berth::cli {

struct SessionOptions {
  std::string url;          // of the CRI's Exec or Attach
  bool tty = false;         // the session has a terminal: keys are passed on as they are typed
  int stdin_fd = -1;        // -1: nothing is passed on
  int terminal_fd = -1;     // whose size the session's terminal gets, with `tty`
  std::string detach_keys;  // as ParseDetachKeys gives them; looked for with `tty` only
  // If set, called once the server says that the session is joined to its container (an empty
  // message, which not every server sends: a second without one is enough); an error ends the
  // session, and is RunSession's.
  std::function<absl::Status()> on_ready;
  // Called for SIGINT and SIGTERM. True: the session goes on.
  std::function<bool()> on_interrupt = [] { return false; };
};

struct SessionEnd {
  enum class Kind {
    kFinished,     // what ran, or was attached to, has ended
    kDetached,     // the keys were typed
    kInterrupted,  // a signal or a closed output ended our side
    kLost,         // the connection broke off, or its end was not reported
  };
  Kind kind = Kind::kLost;
  int exit_code = 0;     // kFinished: as reported; kInterrupted: 128 + signal
  absl::Status failure;  // kFinished: why nothing ran, else OK; kLost: what happened
};

// What the events of a session act on.
struct SessionEvents {
  Interrupt& interrupt;
  SessionSignals& signals;
};

// Returns when the session is over, the terminal as it was. An error: there was no session.
// FailedPrecondition where `tty` is set and stdin_fd is no terminal.
absl::StatusOr<SessionEnd> RunSession(const SessionOptions& options, const SessionEvents& events,
                                      Output& output);

}  // namespace berth::cli
