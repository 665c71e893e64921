// How long a registry asks to be left alone (RFC 9110 §10.2.3). Pure.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace berth {

// Of "120" or "Fri, 31 Dec 1999 23:59:59 GMT"; zero for a moment that has passed, for an empty or
// a malformed value.
absl::Duration ParseRetryAfter(absl::string_view value, absl::Time now);

// Marks `status` as the answer of a registry that is there and has no time now (429, 503), with the
// value of its Retry-After, which may be "".
void SetRetryAfter(absl::string_view value, absl::Status* status);
// What a marked status asks for; zero for another.
absl::Duration RetryAfterOf(const absl::Status& status, absl::Time now);
// True if the same request may succeed a little later: Unavailable, or marked.
bool IsTransient(const absl::Status& status);

// The pause before attempt `attempt` (the first repetition is 1): what the registry asks for, or
// `base` doubled with each attempt and spread by `jitter` (in [0, 1)) over its upper half, so that
// many nodes do not come back at the same moment. Never more than `longest`.
absl::Duration RetryPause(int attempt, absl::Duration asked, absl::Duration base,
                          absl::Duration longest, double jitter);

}  // namespace berth
