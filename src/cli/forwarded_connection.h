// One connection of port-forward: a socket of this machine, and the session that leads to the pod.
#pragma once

#include <poll.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "src/base/unique_fd.h"
#include "src/cli/stream_connection.h"

namespace berth::cli {

// Not thread-safe. Does not move.
class ForwardedConnection {
 public:
  using OnFailure = std::function<void(const absl::Status&)>;

  // `local` is non-blocking. A URL of the CRI's PortForward for one port.
  static absl::StatusOr<std::unique_ptr<ForwardedConnection>> Start(StreamLoop& loop,
                                                                    const std::string& url,
                                                                    UniqueFd local,
                                                                    OnFailure on_failure);

  pollfd LocalInterest() const;
  pollfd RemoteInterest() const { return remote_->Interest(); }
  // After poll(2), with what it said of the local socket.
  void Carry(short local_events);
  bool done() const { return done_; }

 private:
  ForwardedConnection(UniqueFd local, OnFailure on_failure)
      : local_(std::move(local)), on_failure_(std::move(on_failure)) {}

  void TakeMessage(absl::string_view message);
  void TakeData(absl::string_view bytes);
  void RemoteEnded(const absl::Status& status);
  void ReadLocal();
  void EndLocal();
  void WriteLocal();
  void EndIfBothHave();

  UniqueFd local_;
  const OnFailure on_failure_;
  std::unique_ptr<StreamConnection> remote_;
  std::string to_local_, error_;
  bool open_ = false, local_ended_ = false, remote_ended_ = false, done_ = false;
  size_t data_prefix_ = 2, error_prefix_ = 2;  // bytes still to come of each channel's port number
  absl::Time last_data_ = absl::InfinitePast();
};

}  // namespace berth::cli
