// A client of Exec, Attach and PortForward as a browser would be one: WebSocket with numbered
// channels (v5.channel.k8s.io: 0 stdin, 1 stdout, 2 stderr, 3 error, 4 resize; v4.channel.k8s.io
// for ports: 2i data and 2i+1 error). Blocking, with a deadline on every wait. Not thread-safe.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/unique_fd.h"

namespace berth::e2e {

class ChannelClient {
 public:
  // The status of the HTTP answer is the error's text: "404 Not Found".
  static absl::StatusOr<ChannelClient> Connect(const std::string& url,
                                               const std::string& protocol = "v5.channel.k8s.io");

  absl::Status Send(int channel, absl::string_view bytes);
  // v5: the channel's end.
  absl::Status CloseChannel(int channel);
  // Reads until what `channel` has brought holds `text`; all that it has brought so far.
  absl::StatusOr<std::string> Await(int channel, absl::string_view text);
  // Reads until the server closes.
  absl::Status AwaitEnd();
  // What a channel has brought.
  const std::string& Of(int channel) { return received_[channel]; }
  // Of the status on the error channel: 0 for success, the exit code, or -1 for another failure.
  int ExitCode();
  // As a client that is killed does.
  void Abort() { socket_.reset(); }

 private:
  explicit ChannelClient(UniqueFd socket) : socket_(std::move(socket)) {}
  absl::Status SendFrame(int opcode, absl::string_view payload);
  // Unavailable at the end.
  absl::Status ReadSome();
  absl::StatusOr<bool> TakeFrame();

  UniqueFd socket_;
  std::string buffer_;
  std::map<int, std::string> received_;
};

}  // namespace berth::e2e
