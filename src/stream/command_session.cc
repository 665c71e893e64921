#include "src/stream/command_session.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/runtime/monitor_protocol.h"

namespace berth {
namespace {

// How long output is waited for that others than the ended process hold open.
constexpr auto kDrainTime = std::chrono::seconds(1);

bool IsTerminal(int fd) {
  winsize size;
  return ::ioctl(fd, TIOCGWINSZ, &size) == 0;
}

void Assign(asio::posix::stream_descriptor& to, UniqueFd fd) {
  if (fd.valid()) to.assign(fd.release());
}

SessionOutcome OutcomeOf(wire::SessionKind kind, const wire::ExitEvent& exit) {
  // An attach succeeds whatever its container ends with: that is the container's status.
  if (kind == wire::SessionKind::kAttach) return {};
  return {.exit_code = exit.exit_code};
}

}  // namespace

CommandSession::CommandSession(const Executor& executor, Parts parts, ClientLink& client,
                               Activity& activity, Event& changed)
    : executor_(executor),
      kind_(parts.kind),
      streams_(parts.streams),
      client_(client),
      activity_(activity),
      changed_(changed),
      idle_timeout_(parts.idle_timeout),
      resize_(std::move(parts.resize)),
      monitor_(executor, std::move(parts.session.monitor)),
      terminal_(parts.session.terminal),
      in_fd_(executor),
      out_fd_(executor),
      err_fd_(executor),
      out_{.from = &out_fd_, .to = streams_.out},
      err_{.from = &err_fd_, .to = streams_.err} {
  Assign(in_fd_, std::move(parts.session.in));
  Assign(out_fd_, std::move(parts.session.out));
  Assign(err_fd_, std::move(parts.session.err));
}

asio::awaitable<void> CommandSession::WatchMonitor() {
  while (true) {
    const std::optional<Packet> packet = co_await monitor_.Receive();
    if (!packet.has_value()) break;
    wire::Header head = {};
    if (packet->data.size() < sizeof(head)) break;
    std::memcpy(&head, packet->data.data(), sizeof(head));
    if (static_cast<wire::Type>(head.type) != wire::Type::kExit) continue;
    const auto exit = ReadBody<wire::Header, wire::ExitEvent>(packet->data);
    if (!exit.has_value()) break;
    outcome_ = OutcomeOf(kind_, *exit);
    break;
  }
  if (!outcome_.has_value())
    outcome_ = SessionOutcome{.failure = absl::UnavailableError("the pod has gone away")};
  changed_.Notify();
}

asio::awaitable<void> CommandSession::PumpInput() {
  Descriptor& to = terminal_ ? out_fd_ : in_fd_;
  ErrorCode error;
  while (!error && to.is_open()) {
    const std::string bytes = co_await streams_.in->in().Take(kChunkBytes);
    if (bytes.empty()) break;
    co_await asio::async_write(to, asio::buffer(bytes), Into(error));
    activity_.Touch();
  }
  // A process that reads no more does not end its session.
  streams_.in->in().Discard();
  if (in_fd_.is_open()) in_fd_.close(error);
  // The half-close of an attached terminal; an exec's, which is a master, knows none.
  if (terminal_ && out_fd_.is_open()) ::shutdown(out_fd_.native_handle(), SHUT_WR);
}

// What is there once the process has ended and nobody is waited for any more.
asio::awaitable<void> CommandSession::DrainRest(Output& output) {
  int left = 0;
  ::ioctl(output.from->native_handle(), FIONREAD, &left);
  std::string bytes;
  while (left > 0) {
    bytes.resize(std::min<size_t>(kChunkBytes, static_cast<size_t>(left)));
    const ssize_t size = ::read(output.from->native_handle(), bytes.data(), bytes.size());
    if (size <= 0) break;
    left -= static_cast<int>(size);
    co_await output.to->Write({bytes.data(), static_cast<size_t>(size)});
  }
}

asio::awaitable<void> CommandSession::PumpOutput(Output& output) {
  const auto buffer = std::make_unique<std::array<char, kChunkBytes>>();
  while (output.from->is_open() && !drained_enough_) {
    ErrorCode error;
    const size_t size = co_await output.from->async_read_some(asio::buffer(*buffer), Into(error));
    if (error == asio::error::operation_aborted) break;
    if (error) {
      output.done = true;
      break;
    }
    // What a client does not take, after it has reset the stream, is dropped.
    if (output.to != nullptr) co_await output.to->Write({buffer->data(), size});
  }
  if (!output.done && output.to != nullptr && output.from->is_open()) co_await DrainRest(output);
  output.done = true;
  changed_.Notify();
}

asio::awaitable<void> CommandSession::EndDraining() {
  const auto deadline = Clock::now() + kDrainTime;
  while (!OutputsDone() && Clock::now() < deadline) co_await changed_.Wait(deadline);
  drained_enough_ = true;
  for (const Output* output : {&out_, &err_}) {
    ErrorCode ignored;
    if (!output->done) output->from->cancel(ignored);
  }
  while (!OutputsDone() && !client_.gone() && !IsIdle())
    co_await changed_.Wait(activity_.last() + idle_timeout_);
}

void CommandSession::Release() {
  monitor_.Close();
  for (Descriptor* fd : {&in_fd_, &out_fd_, &err_fd_}) {
    ErrorCode ignored;
    fd->close(ignored);
  }
}

void CommandSession::Resize(TerminalSize size) {
  if (!out_fd_.is_open()) return;
  const winsize window = {.ws_row = size.rows, .ws_col = size.columns};
  if (IsTerminal(out_fd_.native_handle())) {
    ::ioctl(out_fd_.native_handle(), TIOCSWINSZ, &window);
    return;
  }
  const wire::Header head = {wire::kProtocolMagic, wire::kProtocolVersion,
                             static_cast<uint16_t>(wire::Type::kResize)};
  wire::ResizeRequest request = {};
  request.rows = size.rows;
  request.columns = size.columns;
  monitor_.Send(MakePacket(head, request));
}

asio::awaitable<void> CommandSession::PumpResize() {
  while (true) {
    const std::string bytes = co_await streams_.resize->in().Take(kChunkBytes);
    if (bytes.empty()) co_return;
    if (const auto size = resize_.Feed(bytes)) Resize(*size);
  }
}

asio::awaitable<std::optional<SessionOutcome>> CommandSession::Run() {
  for (ClientStream* stream : {streams_.error, streams_.out, streams_.err}) {
    if (stream != nullptr) stream->in().Discard();
  }
  asio::co_spawn(executor_, WatchMonitor(), asio::detached);
  for (Output* output : {&out_, &err_}) {
    output->done = !output->from->is_open();
    if (!output->done) asio::co_spawn(executor_, PumpOutput(*output), asio::detached);
  }
  if (streams_.in != nullptr) asio::co_spawn(executor_, PumpInput(), asio::detached);
  if (streams_.resize != nullptr) asio::co_spawn(executor_, PumpResize(), asio::detached);

  while (!outcome_.has_value() && !client_.gone() && !IsIdle())
    co_await changed_.Wait(activity_.last() + idle_timeout_);
  if (outcome_.has_value()) {
    co_await EndDraining();
  } else if (!client_.gone()) {
    outcome_ = SessionOutcome{.failure = absl::DeadlineExceededError(absl::StrCat(
                                  "the session was idle for ", idle_timeout_.count(), " s"))};
  }
  Release();
  if (client_.gone()) co_return std::nullopt;
  co_return outcome_;
}

}  // namespace berth
