#include "src/cli/forwarded_connection.h"

#include <sys/socket.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/cli/stream_channels.h"

namespace berth::cli {
namespace {

// Of a session with one port.
constexpr unsigned char kDataChannel = 0, kPortErrorChannel = 1;
constexpr size_t kReadBytes = 32 << 10;
constexpr size_t kMaxBufferedBytes = 256 << 10;
constexpr size_t kMaxErrorBytes = 4 << 10;
// v4 cannot say that our side has sent all: the session is given up when nothing has come for so
// long.
constexpr absl::Duration kLinger = absl::Seconds(10);

void SkipPort(size_t* left, absl::string_view* bytes) {
  const size_t skipped = std::min(*left, bytes->size());
  bytes->remove_prefix(skipped);
  *left -= skipped;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ForwardedConnection>> ForwardedConnection::Start(
    StreamLoop& loop, const std::string& url, UniqueFd local, OnFailure on_failure) {
  auto connection = std::unique_ptr<ForwardedConnection>(
      new ForwardedConnection(std::move(local), std::move(on_failure)));
  ForwardedConnection* const self = connection.get();
  ASSIGN_OR_RETURN(
      connection->remote_,
      StreamConnection::Start(
          loop, url, {kV5Protocol, kV4Protocol},
          {.on_open = [self] { self->open_ = true; },
           .on_message = [self](absl::string_view message) { self->TakeMessage(message); },
           .on_end = [self](const absl::Status& status) { self->RemoteEnded(status); }}));
  return connection;
}

pollfd ForwardedConnection::LocalInterest() const {
  short events = 0;
  if (open_ && !local_ended_ && remote_->queued_bytes() < kMaxBufferedBytes) events |= POLLIN;
  if (!to_local_.empty()) events |= POLLOUT;
  // Without interest a hang-up would be told again and again.
  return {.fd = events == 0 ? -1 : local_.get(), .events = events, .revents = 0};
}

void ForwardedConnection::Carry(short local_events) {
  if (done_) return;
  if ((local_events & POLLOUT) != 0) WriteLocal();
  if ((local_events & (POLLIN | POLLHUP | POLLERR)) != 0 && open_ && !local_ended_) ReadLocal();
  const bool lingers = local_ended_ && !remote_ended_ && open_ &&
                       remote_->protocol() != kV5Protocol && to_local_.empty();
  if (lingers && absl::Now() - last_data_ > kLinger) done_ = true;
}

void ForwardedConnection::TakeMessage(absl::string_view message) {
  if (message.empty() || done_) return;
  const auto channel = static_cast<unsigned char>(message[0]);
  message.remove_prefix(1);
  if (channel == kDataChannel) {
    SkipPort(&data_prefix_, &message);
    TakeData(message);
  } else if (channel == kPortErrorChannel) {
    SkipPort(&error_prefix_, &message);
    if (error_.size() < kMaxErrorBytes) absl::StrAppend(&error_, message);
  } else if (channel == kCloseChannel && message == absl::string_view("\0", 1)) {
    remote_ended_ = true;  // of what it sends; it may go on reading
    WriteLocal();
  }
}

void ForwardedConnection::TakeData(absl::string_view bytes) {
  if (bytes.empty()) return;
  last_data_ = absl::Now();
  absl::StrAppend(&to_local_, bytes);
  WriteLocal();
  if (to_local_.size() > kMaxBufferedBytes) remote_->SetReading(false);
}

void ForwardedConnection::WriteLocal() {
  while (!to_local_.empty()) {
    const ssize_t n = send(local_.get(), to_local_.data(), to_local_.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) {  // the reader has gone, and with it the one who asked
      done_ = true;
      return;
    }
    to_local_.erase(0, static_cast<size_t>(n));
  }
  remote_->SetReading(true);
  if (!remote_ended_) return;
  shutdown(local_.get(), SHUT_WR);
  EndIfBothHave();
}

// The session is closed in order, so that what it has queued still arrives.
void ForwardedConnection::EndIfBothHave() {
  if (!remote_ended_ || !to_local_.empty()) return;
  if (!open_) {
    done_ = true;
  } else if (local_ended_) {
    remote_->Close();
  }
}

void ForwardedConnection::ReadLocal() {
  char buffer[kReadBytes];
  const ssize_t n = recv(local_.get(), buffer, sizeof(buffer), 0);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (n <= 0) return EndLocal();
  remote_->Send(ChannelMessage(kDataChannel, absl::string_view(buffer, static_cast<size_t>(n))));
}

void ForwardedConnection::EndLocal() {
  local_ended_ = true;
  last_data_ = absl::Now();
  if (remote_->protocol() == kV5Protocol)
    remote_->Send(ChannelMessage(kCloseChannel, std::string(1, kDataChannel)));
  EndIfBothHave();
}

void ForwardedConnection::RemoteEnded(const absl::Status& status) {
  const bool opened = open_;
  open_ = false;
  remote_ended_ = true;
  if (!error_.empty()) {
    on_failure_(absl::UnavailableError(error_));
  } else if (!status.ok() && !done_ && !(opened && local_ended_)) {
    on_failure_(status);
  }
  WriteLocal();
}

}  // namespace berth::cli
