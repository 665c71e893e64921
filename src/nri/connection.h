// A connection between a runtime and a plugin, from either side: calls to the other, and the
// other's calls. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "google/protobuf/message_lite.h"
#include "src/base/unique_fd.h"
#include "src/nri/wire.h"

namespace berth::nri {

class Connection {
 public:
  // Answers a call of the other's: the serialized reply. On a thread of the connection's, one call
  // after the other.
  using Serve =
      std::function<absl::StatusOr<std::string>(const std::string& method, const std::string&)>;
  // The connection has ended. On a thread of its own; no call of `serve` follows.
  using Ended = std::function<void(const absl::Status& why)>;

  // Takes a connected stream socket. Of `send_timeout`: who does not read for so long is cut off.
  // ResourceExhausted: no thread is to be had.
  static absl::StatusOr<std::unique_ptr<Connection>> Start(UniqueFd socket, const Service& called,
                                                           const Service& served,
                                                           absl::Duration send_timeout, Serve serve,
                                                           Ended ended);
  // Not on a thread of its own.
  ~Connection();

  // An error is the other's answer, or: DeadlineExceeded, after which the connection is closed;
  // Unavailable: it is.
  absl::Status Call(const char* method, const google::protobuf::MessageLite& request,
                    absl::Duration timeout, google::protobuf::MessageLite* reply);

  // Calls that wait end with Unavailable; `Ended` follows.
  void Close();

 private:
  struct Waiting {
    std::optional<absl::StatusOr<std::string>> reply;
  };

  Connection(UniqueFd socket, const Service& called, const Service& served, Serve serve,
             Ended ended);
  void Read();
  absl::Status ReadAll();
  absl::Status Take(WireMessage message);
  void Answer();
  absl::Status Send(const WireMessage& message);

  const UniqueFd socket_;
  const Service called_, served_;
  const Serve serve_;
  const Ended ended_;
  absl::Mutex sending_;
  absl::Mutex mu_;
  uint32_t next_stream_ ABSL_GUARDED_BY(mu_) = 1;
  std::map<uint32_t, Waiting*> waiting_ ABSL_GUARDED_BY(mu_);
  std::vector<WireMessage> asked_ ABSL_GUARDED_BY(mu_);  // by the other, and not answered yet
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  std::thread reader_, answerer_;
};

}  // namespace berth::nri
