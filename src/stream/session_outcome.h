// How an exec or attach ended, as its client is told on the error stream. Pure.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "src/stream/request_head.h"

namespace berth {

struct SessionOutcome {
  int exit_code = 0;     // 0-255
  absl::Status failure;  // not OK: the session failed; with an exit code because nothing could run
};

// For v4 and v5 a metav1.Status in JSON; before it a line of text, "" for success.
std::string OutcomeText(const SessionOutcome& outcome, CommandProtocol protocol);

}  // namespace berth
