// MonitorClient: processes in a running container, with their output collected or their streams
// handed on, and who else is joined to a pod's streams.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/runtime/monitor_client.h"
#include "src/runtime/monitor_messages.h"

namespace berth {
namespace {

using wire::Type;

// After the first process of an exec has ended, what it left behind may hold its output open this
// long.
constexpr absl::Duration kDrain = absl::Seconds(1);
constexpr absl::Duration kCancelPoll = absl::Milliseconds(100);

struct OutputPipe {
  UniqueFd read, write;
  std::string* into;
};

absl::Status OpenPipe(OutputPipe* pipe) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus("pipe", "exec output");
  pipe->read.reset(ends[0]);
  pipe->write.reset(ends[1]);
  return absl::OkStatus();
}

// Reads once from a pipe that is ready; closes it at its end. `room` is what may still be kept.
void Drain(OutputPipe* pipe, size_t* room) {
  char buffer[64 << 10];
  const ssize_t n = ::read(pipe->read.get(), buffer, sizeof(buffer));
  if (n < 0 && errno == EINTR) return;
  if (n <= 0) return pipe->read.reset();
  const size_t kept = std::min(*room, static_cast<size_t>(n));
  pipe->into->append(buffer, kept);
  *room -= kept;
}

// Waits at most as long as a start may take, hooks aside: an exec has none.
absl::Status AnswerListener(int socket, Packet& packet, const TakeSeccompListener& take) {
  ASSIGN_OR_RETURN(const wire::StartedReply due, Payload<wire::StartedReply>(packet));
  absl::Status done = absl::InternalError("monitor: asks for what nobody here can do");
  if (packet.fds.size() == 1 && take) done = take(due.pid, std::move(packet.fds[0]));
  const wire::HooksDone answer = {.error = done.ok() ? 0 : ECANCELED};
  RETURN_IF_ERROR(SendPacket(socket, Message(Type::kHooksDone, answer), {}));
  return done;
}

// A pipe whose one end is this process's and whose other end goes with the message.
absl::Status AddPipe(bool client_writes, UniqueFd* own, std::vector<UniqueFd>* theirs,
                     std::vector<int>* fds) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus("pipe", "exec stream");
  own->reset(ends[client_writes ? 1 : 0]);
  theirs->emplace_back(ends[client_writes ? 0 : 1]);
  fds->push_back(theirs->back().get());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UniqueFd> MonitorClient::SendExec(const wire::ExecRequest& request,
                                                 const std::string& plan,
                                                 const std::vector<int>& fds) const {
  return SendWithPlan(idle_ != nullptr && idle_->takes_plans, Message(Type::kExecWithPlan, request),
                      Message(Type::kExec, request), plan, fds);
}

absl::StatusOr<ExecSyncResult> MonitorClient::ExecSync(const ExecSyncRequest& request) const {
  ASSIGN_OR_RETURN(const std::string plan, PlanBytes(*request.plan));
  std::vector<int> fds;
  ExecSyncResult result;
  OutputPipe pipes[2] = {{.into = &result.output}, {.into = &result.error_output}};
  wire::ExecRequest message = {};
  if (request.outside_container) {
    message.flags |= wire::kOutsideContainer;
    if (request.host_mounts >= 0) fds.push_back(request.host_mounts);
  }
  for (OutputPipe& pipe : pipes) {
    RETURN_IF_ERROR(OpenPipe(&pipe));
    fds.push_back(pipe.write.get());
  }
  CopyId(request.container_id, message.container_id);
  message.timeout_ms = Milliseconds(request.timeout);
  ASSIGN_OR_RETURN(UniqueFd socket, SendExec(message, plan, fds));

  size_t room = request.max_output_bytes;
  bool exited = false, timed_out = false, nothing_left = false;
  absl::Time drain_until = absl::InfiniteFuture(), ask_at = SteadyNow() + kCancelPoll;
  while (!exited || pipes[0].read.valid() || pipes[1].read.valid()) {
    pollfd wait[3] = {{exited ? -1 : socket.get(), POLLIN, 0},
                      {pipes[0].read.get(), POLLIN, 0},
                      {pipes[1].read.get(), POLLIN, 0}};
    if (::poll(wait, 3, static_cast<int>(absl::ToInt64Milliseconds(kCancelPoll))) < 0 &&
        errno != EINTR) {
      return ErrnoStatus("poll", "exec");
    }
    if (SteadyNow() >= ask_at) {
      // Closing the connection makes the monitor kill the exec as a whole.
      if (request.cancelled && request.cancelled())
        return absl::CancelledError("exec: the caller is gone");
      ask_at = SteadyNow() + kCancelPoll;
    }
    for (int i = 0; i < 2; ++i) {
      if (wait[i + 1].revents != 0) Drain(&pipes[i], &room);
    }
    if (wait[0].revents != 0) {
      absl::StatusOr<Packet> packet = ReceivePacket(socket.get(), SteadyNow());
      if (!packet.ok())
        return absl::UnavailableError(absl::StrCat("monitor: ", packet.status().message()));
      ASSIGN_OR_RETURN(const Type type, TypeOf(packet->data));
      if (type == Type::kError) return ErrorFrom(*packet, request.plan);
      if (type == Type::kSeccompListener)
        RETURN_IF_ERROR(AnswerListener(socket.get(), *packet, request.take_seccomp_listener));
      if (type != Type::kExit) continue;
      ASSIGN_OR_RETURN(const wire::ExitEvent event, Payload<wire::ExitEvent>(*packet));
      exited = true;
      for (OutputPipe& pipe : pipes) pipe.write.reset();
      timed_out = (event.flags & wire::kExitTimeout) != 0;
      nothing_left = (event.flags & wire::kExitNothingLeft) != 0;
      result.exit_code = event.exit_code;
      drain_until = SteadyNow() + kDrain;
    }
    if (timed_out || SteadyNow() > drain_until) break;
  }
  if (timed_out) {
    return absl::DeadlineExceededError(
        absl::StrCat("exec: command timed out after ", absl::FormatDuration(request.timeout)));
  }
  if (nothing_left) {
    if (idle_ != nullptr) idle_->takes_plans = true;
    Keep(std::move(socket));
  }
  return result;
}

absl::StatusOr<MonitorSession> MonitorClient::StartExecSession(
    const ExecSessionStart& start) const {
  MonitorSession session;
  ASSIGN_OR_RETURN(session.connection, Connect());
  ASSIGN_OR_RETURN(const UniqueFd plan, PlanFd(*start.plan));
  std::vector<int> fds = {plan.get()};
  std::vector<UniqueFd> theirs;
  wire::ExecRequest message = {};
  if (start.outside_container) {
    message.flags |= wire::kOutsideContainer;
    fds.push_back(start.host_mounts);
  }
  const ExecStreams& streams = start.streams;
  session.takes_input = streams.input;
  if (streams.terminal) {
    message.flags |= wire::kTerminalFlag;
  } else {
    if (streams.input) RETURN_IF_ERROR(AddPipe(true, &session.input, &theirs, &fds));
    if (streams.output) RETURN_IF_ERROR(AddPipe(false, &session.output, &theirs, &fds));
    if (streams.error_output) RETURN_IF_ERROR(AddPipe(false, &session.error_output, &theirs, &fds));
  }
  CopyId(start.container_id, message.container_id);
  const int socket = session.connection.get();
  RETURN_IF_ERROR(SendPacket(socket, Message(Type::kExecSession, message), fds));
  theirs.clear();
  const absl::Time deadline = SteadyNow() + kAnswerTimeout;
  absl::StatusOr<Packet> packet = ReceivePacket(socket, deadline);
  while (packet.ok()) {
    ASSIGN_OR_RETURN(const Type type, TypeOf(packet->data));
    if (type == Type::kStarted) break;
    if (type == Type::kError) return ErrorFrom(*packet, start.plan);
    if (type != Type::kSeccompListener)
      return absl::DataLossError(
          absl::StrCat("monitor: unexpected answer ", static_cast<int>(type)));
    RETURN_IF_ERROR(AnswerListener(socket, *packet, start.take_seccomp_listener));
    packet = ReceivePacket(socket, deadline);
  }
  if (!packet.ok()) return Annotate(packet.status(), "monitor");
  if (!streams.terminal) return session;
  if (packet->fds.size() != 1) return absl::DataLossError("monitor: no terminal came");
  session.output = std::move(packet->fds[0]);
  return session;
}

absl::StatusOr<MonitorSession> MonitorClient::Attach(const AttachStart& start) const {
  MonitorSession session;
  ASSIGN_OR_RETURN(session.connection, Connect());
  const ExecStreams& streams = start.streams;
  wire::AttachRequest request = {.rows = streams.rows, .columns = streams.columns};
  CopyId(start.container_id, request.container_id);
  if (streams.input) request.flags |= wire::kAttachStdin;
  if (streams.output) request.flags |= wire::kAttachStdout;
  if (streams.error_output && !streams.terminal) request.flags |= wire::kAttachStderr;
  if (streams.terminal) request.flags |= wire::kAttachTerminal;
  const int socket = session.connection.get();
  RETURN_IF_ERROR(SendPacket(socket, Message(Type::kAttach, request), {}));
  ASSIGN_OR_RETURN(Packet packet, Receive(socket, Type::kAttached, SteadyNow() + kAnswerTimeout));
  ASSIGN_OR_RETURN(const wire::AttachedReply reply, Payload<wire::AttachedReply>(packet));
  session.takes_input = (reply.flags & wire::kAttachStdin) != 0;
  std::vector<UniqueFd*> into;
  if (streams.terminal) {
    into.push_back(&session.output);
  } else {
    if (reply.flags & wire::kAttachStdin) into.push_back(&session.input);
    if (reply.flags & wire::kAttachStdout) into.push_back(&session.output);
    if (reply.flags & wire::kAttachStderr) into.push_back(&session.error_output);
  }
  if (packet.fds.size() != into.size())
    return absl::DataLossError("monitor: attached without the descriptors of its streams");
  for (size_t i = 0; i < into.size(); ++i) *into[i] = std::move(packet.fds[i]);
  return session;
}

absl::StatusOr<UniqueFd> MonitorClient::PortForward() const {
  ASSIGN_OR_RETURN(UniqueFd socket, Connect());
  RETURN_IF_ERROR(SendPacket(socket.get(), Message(Type::kPortForward), {}));
  RETURN_IF_ERROR(Receive(socket.get(), Type::kOk, SteadyNow() + kAnswerTimeout).status());
  return socket;
}

}  // namespace berth
