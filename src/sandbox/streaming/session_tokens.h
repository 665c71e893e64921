// What stands behind the URLs that Exec, Attach and PortForward answer with. A token is 256 random
// bits, good for one look within its lifetime; what it stands for is kept here and nowhere else.
// Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/runtime/container_plan.h"
#include "src/stream/session_protocol.h"

namespace berth {

struct SessionRequest {
  wire::SessionKind kind = wire::SessionKind::kExec;
  std::string id;                    // of the container, or of the pod to forward to
  std::vector<std::string> command;  // kExec
  ExecStreams streams;               // kExec, kAttach
  std::vector<uint16_t> ports;       // kPortForward: kMaxSessionPorts at most, may be none
};

class SessionTokens {
 public:
  struct Options {
    absl::Duration lifetime = absl::Seconds(60);
    size_t most = 1000;  // that wait to be used
  };
  explicit SessionTokens(Options options) : options_(options) {}

  // ResourceExhausted: so many tokens wait that there is no room for one more.
  absl::StatusOr<std::string> Issue(SessionRequest request, absl::Time now);
  // Whatever it answers, the token is worth nothing afterwards. NotFound: unknown, used, too old,
  // or of another kind. How long it takes does not tell how much of a token was right.
  absl::StatusOr<SessionRequest> Redeem(wire::SessionKind kind, absl::string_view token,
                                        absl::Time now);

 private:
  struct Entry {
    std::string token;
    absl::Time until;
    SessionRequest request;
  };
  void Expire(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  absl::Mutex mu_;
  std::vector<Entry> entries_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth
