#include "src/cli/stream_session.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>

#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/cli/detach_keys.h"
#include "src/cli/exit_report.h"
#include "src/cli/raw_terminal.h"
#include "src/cli/stream_channels.h"
#include "src/cli/stream_connection.h"

namespace berth::cli {
namespace {

constexpr size_t kReadBytes = 32 << 10;
// More than this is not read from stdin before the server has taken some of it.
constexpr size_t kMaxQueuedBytes = 256 << 10;
constexpr size_t kMaxReportBytes = 64 << 10;
constexpr int kTickMs = 1000, kReadyTickMs = 50;
constexpr absl::Duration kReadyTimeout = absl::Seconds(1);
// A server that does not answer a goodbye is not waited for.
constexpr absl::Duration kGoodbyeTimeout = absl::Seconds(2);

class Session {
 public:
  Session(const SessionOptions& options, const SessionEvents& events, Output& output)
      : options_(options),
        events_(events),
        output_(output),
        detach_(options.tty ? options.detach_keys : ""),
        input_(options.stdin_fd) {}

  absl::StatusOr<SessionEnd> Run() {
    ASSIGN_OR_RETURN(connection_,
                     StreamConnection::Start(loop_, options_.url, {kV5Protocol, kV4Protocol},
                                             {.on_open = [this] { open_ = true; },
                                              .on_message = [this](auto bytes) { Take(bytes); },
                                              .on_end = [this](auto& status) { Ended(status); }}));
    while (!end_.has_value() && !open_) Wait();
    if (!open_ && !refused_.ok()) return refused_;
    if (open_) SendSize();
    if (open_ && options_.on_ready) {
      const absl::Time until = absl::Now() + kReadyTimeout;
      while (!end_.has_value() && !ready_ && absl::Now() < until) Wait(kReadyTickMs);
      if (!end_.has_value()) RETURN_IF_ERROR(options_.on_ready());
    }
    if (open_ && options_.tty) RETURN_IF_ERROR(EnterTerminal());
    while (!end_.has_value()) Wait();
    return *std::move(end_);
  }

 private:
  absl::Status EnterTerminal() {
    if (options_.stdin_fd < 0) return absl::OkStatus();
    ASSIGN_OR_RETURN(terminal_, RawTerminal::Enter(options_.stdin_fd));
    return absl::OkStatus();
  }

  void SendSize() {
    winsize size = {};
    if (!options_.tty || !open_ || ioctl(options_.terminal_fd, TIOCGWINSZ, &size) != 0) return;
    if (size.ws_col == 0 || size.ws_row == 0) return;
    connection_->Send(
        ChannelMessage(kResizeChannel,
                       absl::StrCat("{\"Width\":", size.ws_col, ",\"Height\":", size.ws_row, "}")));
  }

  void Wait(int patience_ms = kTickMs) {
    const bool may_read = open_ && connection_->queued_bytes() < kMaxQueuedBytes;
    pollfd fds[] = {connection_->Interest(),
                    {.fd = events_.interrupt.fd(), .events = POLLIN, .revents = 0},
                    {.fd = events_.signals.fd(), .events = POLLIN, .revents = 0},
                    {.fd = may_read ? input_ : -1, .events = POLLIN, .revents = 0}};
    poll(fds, 4, patience_ms);
    for (int signal = events_.interrupt.Take(); signal != 0; signal = events_.interrupt.Take()) {
      if (!open_ || !options_.on_interrupt()) return Interrupted(signal);
    }
    for (int signal = events_.signals.Take(); signal != 0; signal = events_.signals.Take())
      TakeSignal(signal);
    if (detached_ && absl::Now() > goodbye_until_) Finish({.kind = SessionEnd::Kind::kDetached});
    if (end_.has_value()) return;
    if (fds[3].revents != 0) ReadInput();
    loop_.RunReady();
  }

  void TakeSignal(int signal) {
    if (signal == SIGWINCH) return SendSize();
    if (signal != SIGTSTP) return Interrupted(signal);
    if (terminal_ != nullptr) terminal_->Suspend();
    raise(SIGSTOP);
    if (terminal_ != nullptr) terminal_->Resume();
    SendSize();
  }

  void ReadInput() {
    char buffer[kReadBytes];
    const ssize_t n = read(input_, buffer, sizeof(buffer));
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (n <= 0) return EndInput();
    const DetachWatch::Result typed =
        detach_.Feed(absl::string_view(buffer, static_cast<size_t>(n)));
    if (!typed.pass.empty()) connection_->Send(ChannelMessage(kStdinChannel, typed.pass));
    if (!typed.detached) return;
    detached_ = true;
    goodbye_until_ = absl::Now() + kGoodbyeTimeout;
    input_ = -1;
    connection_->Close();
  }

  // Only v5 has a word for it.
  void EndInput() {
    input_ = -1;
    if (connection_->protocol() == kV5Protocol)
      connection_->Send(ChannelMessage(kCloseChannel, std::string(1, kStdinChannel)));
  }

  void Take(absl::string_view message) {
    ready_ = true;
    if (message.empty() || end_.has_value() || detached_) return;
    const auto channel = static_cast<unsigned char>(message[0]);
    message.remove_prefix(1);
    if (channel == kStdoutChannel) Print(output_.out, message);
    if (channel == kStderrChannel) Print(output_.err, message);
    if (channel == kErrorChannel && report_.size() + message.size() <= kMaxReportBytes)
      absl::StrAppend(&report_, message);
  }

  void Print(std::ostream& stream, absl::string_view bytes) {
    stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    stream.flush();
    if (!stream.good()) Interrupted(SIGPIPE);
  }

  void Interrupted(int signal) {
    Finish({.kind = SessionEnd::Kind::kInterrupted, .exit_code = 128 + signal});
  }

  void Ended(const absl::Status& status) {
    if (detached_) return Finish({.kind = SessionEnd::Kind::kDetached});
    if (!open_) refused_ = status.ok() ? absl::UnavailableError("the server hung up") : status;
    if (report_.empty()) {
      const absl::string_view why =
          status.ok() ? "the server closed it without a report" : status.message();
      return Finish(
          {.failure = absl::UnavailableError(absl::StrCat("the session is lost: ", why))});
    }
    const absl::StatusOr<int> code = ParseExitReport(report_);
    Finish({.kind = SessionEnd::Kind::kFinished,
            .exit_code = code.value_or(0),
            .failure = code.status()});
  }

  void Finish(SessionEnd end) {
    if (!end_.has_value()) end_ = std::move(end);
  }

  const SessionOptions& options_;
  const SessionEvents& events_;
  Output& output_;
  DetachWatch detach_;
  int input_;
  bool open_ = false, ready_ = false, detached_ = false;
  absl::Time goodbye_until_;
  absl::Status refused_;
  std::string report_;
  std::optional<SessionEnd> end_;
  StreamLoop loop_;
  std::unique_ptr<StreamConnection> connection_;
  std::unique_ptr<RawTerminal> terminal_;
};

}  // namespace

absl::StatusOr<SessionEnd> RunSession(const SessionOptions& options, const SessionEvents& events,
                                      Output& output) {
  return Session(options, events, output).Run();
}

}  // namespace berth::cli
