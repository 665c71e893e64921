#include "src/runtime/monitor_client.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/kernel/socket.h"

namespace berth {
namespace {

using wire::Type;

// A monitor answers within milliseconds; one that does not for this long is stopped or stuck.
constexpr absl::Duration kAnswerTimeout = absl::Seconds(30);
// After the first process of an exec has ended, what it left behind may hold its output open this
// long.
constexpr absl::Duration kDrain = absl::Seconds(1);
constexpr absl::Duration kCancelPoll = absl::Milliseconds(100);

std::string Message(Type type) {
  const wire::Header header = {.magic = wire::kProtocolMagic,
                               .version = wire::kProtocolVersion,
                               .type = static_cast<uint16_t>(type)};
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header));
}

template <typename T>
std::string Message(Type type, const T& payload) {
  return Message(type).append(reinterpret_cast<const char*>(&payload), sizeof(payload));
}

void CopyId(absl::string_view id, char* out) {
  std::memcpy(out, id.data(), std::min<size_t>(id.size(), wire::kIdBytes));
}

// Rounded up, so that a short timeout is not none; as much as the message can say.
uint32_t Milliseconds(absl::Duration timeout) {
  return static_cast<uint32_t>(
      std::clamp<int64_t>(absl::ToInt64Milliseconds(absl::Ceil(timeout, absl::Milliseconds(1))), 0,
                          std::numeric_limits<uint32_t>::max()));
}

template <typename T>
absl::StatusOr<T> Payload(const Packet& packet) {
  T value;
  if (packet.data.size() != sizeof(wire::Header) + sizeof(T)) {
    return absl::DataLossError("monitor: answer of the wrong length");
  }
  std::memcpy(&value, packet.data.data() + sizeof(wire::Header), sizeof(T));
  return value;
}

absl::StatusOr<Type> TypeOf(absl::string_view data) {
  wire::Header header;
  if (data.size() < sizeof(header)) return absl::DataLossError("monitor: answer too short");
  std::memcpy(&header, data.data(), sizeof(header));
  if (header.magic != wire::kProtocolMagic)
    return absl::DataLossError("monitor: not the monitor protocol");
  if (header.version != wire::kProtocolVersion) {
    return absl::FailedPreconditionError(absl::StrCat("monitor: speaks protocol version ",
                                                      header.version, ", this berthd speaks ",
                                                      wire::kProtocolVersion));
  }
  return static_cast<Type>(header.type);
}

// A runtime's or a hook's end, which the call names; the errno behind it says nothing more.
bool IsVerdict(absl::string_view call) {
  return absl::StartsWith(call, "hook ") || absl::StartsWith(call, "runtime ");
}

absl::Status HookStatus(const PlanStep& step, const std::string& call) {
  const std::string path = step.strings.size() > 1 ? step.strings[1] : "";
  return absl::Status(
      call == "hook timed out" ? absl::StatusCode::kDeadlineExceeded : absl::StatusCode::kAborted,
      absl::StrCat("hook \"", path, "\": ", absl::StripPrefix(call, "hook "),
                   call == "hook timed out" ? absl::StrCat(" after ", step.c, " ms") : ""));
}

// EINVAL of mount_setattr(2), seen by people as what it means.
absl::Status IdmapStatus(const std::string& call, const PlanStep& step) {
  std::string object = "volume";
  if (step.op == wire::Op::kIdmapTree && !step.strings.empty()) object = step.strings[0];
  if (step.strings.size() > 3) object = step.strings[3];
  return absl::FailedPreconditionError(absl::StrCat(
      call, " ", object, ": its file system cannot be ID-mapped (no user namespace for this pod)"));
}

// What a user reads first when a program cannot be started.
absl::Status ExecStatus(const PlanStep& step, int error) {
  const std::string& file = step.strings[0];
  const absl::string_view cause = error == ENOENT && !absl::StrContains(file, '/')
                                      ? absl::string_view("executable file not found in $PATH")
                                      : absl::string_view(std::strerror(error));
  return absl::Status(
      error == ENOENT ? absl::StatusCode::kNotFound : absl::ErrnoToStatusCode(error),
      absl::StrCat("exec: \"", file, "\": ", cause));
}

absl::Status ErrorFrom(const Packet& packet, const LaunchPlan* plan) {
  ASSIGN_OR_RETURN(const wire::ErrorReply reply, Payload<wire::ErrorReply>(packet));
  const std::string call(reply.call, strnlen(reply.call, sizeof(reply.call)));
  if (reply.error <= 0)
    return absl::DataLossError(absl::StrCat("monitor: ", call, ": an error without a cause"));
  if (plan == nullptr || reply.step < 0 || static_cast<size_t>(reply.step) >= plan->steps.size()) {
    if (IsVerdict(call)) return absl::AbortedError(call);
    return ErrnoStatus("monitor", call, reply.error);
  }
  const PlanStep& step = plan->steps[reply.step];
  if (step.op == wire::Op::kExec) return ExecStatus(step, reply.error);
  if (step.op == wire::Op::kHook && IsVerdict(call)) return HookStatus(step, call);
  if (absl::StartsWith(call, "id-map") && reply.error == EINVAL) return IdmapStatus(call, step);
  return ErrnoStatus(call, absl::StrCat("(", DescribeStep(step), ")"), reply.error);
}

absl::StatusOr<Packet> Receive(int socket, Type wanted, absl::Time deadline,
                               const LaunchPlan* plan = nullptr) {
  absl::StatusOr<Packet> packet = ReceivePacket(socket, deadline);
  if (absl::IsUnavailable(packet.status()))
    return absl::UnavailableError("monitor: closed the connection");
  if (absl::IsDeadlineExceeded(packet.status()))
    return absl::DeadlineExceededError("monitor: does not answer");
  if (!packet.ok()) return packet.status();
  ASSIGN_OR_RETURN(const Type type, TypeOf(packet->data));
  if (type == Type::kError) return ErrorFrom(*packet, plan);
  if (type != wanted)
    return absl::DataLossError(absl::StrCat("monitor: unexpected answer ", static_cast<int>(type)));
  return packet;
}

std::vector<int> WithTasks(int plan, const CgroupHandle& cgroup) {
  std::vector<int> fds = {plan};
  for (const UniqueFd& tasks : cgroup.tasks) fds.push_back(tasks.get());
  return fds;
}

// The last error that an OCI runtime wrote to its log: a line of JSON with "msg", or any line.
std::string LastRuntimeError(int directory) {
  const std::string text = ReadFileAt(directory, "log.json").value_or("");
  const std::vector<absl::string_view> lines = absl::StrSplit(text, '\n', absl::SkipWhitespace());
  if (lines.empty()) return "";
  constexpr absl::string_view kMember = "\"msg\":";
  const size_t member = lines.back().find(kMember);
  if (member == absl::string_view::npos) return std::string(lines.back());
  absl::string_view rest =
      absl::StripLeadingAsciiWhitespace(lines.back().substr(member + kMember.size()));
  std::string message;
  if (!absl::ConsumePrefix(&rest, "\"")) return std::string(lines.back());
  for (size_t i = 0; i < rest.size() && rest[i] != '"'; ++i) {
    if (rest[i] == '\\' && i + 1 < rest.size()) ++i;
    message += rest[i];
  }
  return message;
}

bool ClonesPidNamespace(const LaunchPlan& plan) {
  return std::any_of(plan.steps.begin(), plan.steps.end(), [](const PlanStep& step) {
    return step.op == wire::Op::kEnterUserNamespace && (step.b & CLONE_NEWPID) != 0;
  });
}

// How long hooks may take in the course of a start, beside what the monitor itself takes.
absl::Duration HookTime(const LaunchPlan& plan) {
  absl::Duration time;
  for (const PlanStep& step : plan.steps) {
    if (step.op == wire::Op::kHook) time += absl::Milliseconds(step.c);
  }
  return time;
}

// Answers what the monitor asks while a process is being started. The callback's error is the
// start's.
absl::Status AnswerRequest(int socket, Type type, Packet& packet, const ContainerStart& start) {
  ASSIGN_OR_RETURN(const wire::StartedReply due, Payload<wire::StartedReply>(packet));
  absl::Status done;
  if (type == Type::kHooksDue && start.run_hooks) {
    done = start.run_hooks(due.pid);
  } else if (type == Type::kSeccompListener && start.take_seccomp_listener) {
    if (packet.fds.size() != 1) return absl::DataLossError("monitor: no seccomp listener came");
    done = start.take_seccomp_listener(due.pid, std::move(packet.fds[0]));
  } else {
    done = absl::InternalError("monitor: asks for what nobody here can do");
  }
  const wire::HooksDone answer = {.error = done.ok() ? 0 : ECANCELED};
  RETURN_IF_ERROR(SendPacket(socket, Message(Type::kHooksDone, answer), {}));
  return done;
}

// Waits for kStarted. After an error of a callback the monitor still answers, once the process is
// gone.
absl::StatusOr<pid_t> AwaitStarted(int socket, const ContainerStart& start) {
  absl::Status failed;
  while (true) {
    absl::StatusOr<Packet> packet =
        ReceivePacket(socket, absl::Now() + kAnswerTimeout + HookTime(*start.plan));
    if (absl::IsUnavailable(packet.status()))
      return absl::UnavailableError("monitor: closed the connection");
    if (absl::IsDeadlineExceeded(packet.status()))
      return absl::DeadlineExceededError("monitor: does not answer");
    if (!packet.ok()) return packet.status();
    ASSIGN_OR_RETURN(const Type type, TypeOf(packet->data));
    if (type == Type::kHooksDue || type == Type::kSeccompListener) {
      failed.Update(AnswerRequest(socket, type, *packet, start));
      continue;
    }
    if (!failed.ok()) return failed;
    if (type == Type::kStarted) {
      ASSIGN_OR_RETURN(const wire::StartedReply reply, Payload<wire::StartedReply>(*packet));
      return reply.pid;
    }
    if (type != Type::kError)
      return absl::DataLossError(
          absl::StrCat("monitor: unexpected answer ", static_cast<int>(type)));
    const absl::Status error = ErrorFrom(*packet, start.plan);
    const std::string said = start.pid_dir.valid() && absl::IsAborted(error)
                                 ? LastRuntimeError(start.pid_dir.get())
                                 : "";
    if (said.empty()) return error;
    return absl::Status(error.code(), absl::StrCat(error.message(), ": ", said));
  }
}

struct OutputPipe {
  UniqueFd read, write;
  std::string* into;
};

absl::Status OpenPipe(OutputPipe* pipe) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus("pipe", "exec output");
  pipe->read.reset(ends[0]);
  pipe->write.reset(ends[1]);
  if (::fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) return ErrnoStatus("fcntl", "exec output");
  return absl::OkStatus();
}

// Reads what is there; closes the pipe at its end. `room` is what may still be kept.
void Drain(OutputPipe* pipe, size_t* room) {
  char buffer[64 << 10];
  while (true) {
    const ssize_t n = ::read(pipe->read.get(), buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return pipe->read.reset();
    const size_t kept = std::min(*room, static_cast<size_t>(n));
    pipe->into->append(buffer, kept);
    *room -= kept;
  }
}

}  // namespace

absl::StatusOr<SpawnedProcess> MonitorClient::Spawn(const MonitorStart& start) {
  ASSIGN_OR_RETURN(const UniqueFd listener,
                   ListenUnix(start.state_dir + "/monitor.sock", SOCK_SEQPACKET, 0600));
  ASSIGN_OR_RETURN(const UniqueFd state_dir, OpenDir(AT_FDCWD, start.state_dir));
  ASSIGN_OR_RETURN(const UniqueFd log,
                   OpenFile(state_dir.get(), "monitor.log", O_WRONLY | O_CREAT | O_APPEND, 0600));
  ASSIGN_OR_RETURN(const UniqueFd plan, PlanFd(*start.pod_plan));
  SpawnRequest request = {
      .executable_fd = start.executable,
      .argv = {"berth-monitor", start.pod_id, absl::StrCat(start.plan_fds.size())},
      .fds = {-1, -1, log.get(), listener.get(), state_dir.get(), plan.get(),
              start.mount_namespace},
      .cgroup_dir = start.cgroup->unified ? start.cgroup->directory.get() : -1,
  };
  if (start.pod_pid_namespace) request.argv.push_back("pod-pid");
  request.fds.insert(request.fds.end(), start.plan_fds.begin(), start.plan_fds.end());
  for (const UniqueFd& tasks : start.cgroup->tasks) request.cgroup_tasks.push_back(tasks.get());
  return berth::Spawn(request);
}

absl::StatusOr<UniqueFd> MonitorClient::Connect() const {
  absl::StatusOr<UniqueFd> socket = ConnectUnix(state_dir_ + "/monitor.sock", SOCK_SEQPACKET);
  if (!socket.ok())
    return absl::UnavailableError(absl::StrCat("monitor is gone: ", socket.status().message()));
  return socket;
}

absl::StatusOr<MonitorHello> MonitorClient::Hello(const LaunchPlan& plan) const {
  ASSIGN_OR_RETURN(const UniqueFd socket, Connect());
  RETURN_IF_ERROR(SendPacket(socket.get(), Message(Type::kHello), {}));
  ASSIGN_OR_RETURN(Packet packet,
                   Receive(socket.get(), Type::kHelloReply, absl::Now() + kAnswerTimeout, &plan));
  ASSIGN_OR_RETURN(const wire::HelloReply reply, Payload<wire::HelloReply>(packet));
  MonitorHello hello{.pid = reply.pid, .pod_init_pid = reply.pod_init_pid};
  const size_t network = reply.has_network != 0 ? 2 : 0,
               user = reply.has_user_namespace != 0 ? 1 : 0;
  if (packet.fds.size() != network + user)
    return absl::DataLossError("monitor: hello without its descriptors");
  if (network != 0) {
    hello.network_namespace = std::move(packet.fds[0]);
    hello.netlink = std::move(packet.fds[1]);
  }
  if (user != 0) hello.user_namespace = std::move(packet.fds[network]);
  return hello;
}

absl::StatusOr<pid_t> MonitorClient::Start(ContainerStart start) const {
  ASSIGN_OR_RETURN(const UniqueFd socket, Connect());
  ASSIGN_OR_RETURN(const UniqueFd plan, PlanFd(*start.plan));
  std::vector<int> fds = WithTasks(plan.get(), *start.cgroup);
  for (const UniqueFd& volume : start.volumes) fds.push_back(volume.get());
  const auto add = [&fds](int fd) {
    if (fd < 0) return -1;
    fds.push_back(fd);
    return static_cast<int>(fds.size()) - 2;  // operands count from behind the plan
  };
  add(start.user_namespace);
  add(start.host_mounts);
  wire::StartRequest request = {};
  CopyId(start.container_id, request.container_id);
  if (start.terminal) request.flags |= wire::kTerminalFlag;
  if (start.cgroup->unified) request.flags |= wire::kCgroupIsUnified;
  if (start.stdin_open) request.flags |= wire::kStdinOpen;
  if (start.pid_dir.valid()) request.flags |= wire::kLauncher;
  if (ClonesPidNamespace(*start.plan)) request.flags |= wire::kPlanClonesPid;
  request.pid_mode = start.pid_mode;
  CopyId(start.target_id, request.target_id);
  request.cgroup_dir_fd = add(start.cgroup->directory.get());
  request.memory_dir_fd = add(start.cgroup->memory.get());
  request.log_fd = add(start.log.get());
  request.pid_dir_fd = add(start.pid_dir.get());
  if (fds.size() > wire::kMaxMessageFds) {
    return absl::InvalidArgumentError(
        absl::StrCat("mounts: ", start.volumes.size(), " are more than one container may have"));
  }
  RETURN_IF_ERROR(SendPacket(socket.get(), Message(Type::kStart, request), fds));
  return AwaitStarted(socket.get(), start);
}

absl::Status MonitorClient::Stop(absl::string_view container_id, int signal,
                                 absl::Duration timeout) const {
  ASSIGN_OR_RETURN(const UniqueFd socket, Connect());
  wire::StopRequest request = {};
  CopyId(container_id, request.container_id);
  request.signal = signal;
  request.timeout_ms = Milliseconds(timeout);
  RETURN_IF_ERROR(SendPacket(socket.get(), Message(Type::kStop, request), {}));
  return Receive(socket.get(), Type::kOk, absl::Now() + kAnswerTimeout).status();
}

absl::StatusOr<ExecSyncResult> MonitorClient::ExecSync(const ExecSyncRequest& request) const {
  ASSIGN_OR_RETURN(const UniqueFd socket, Connect());
  ASSIGN_OR_RETURN(const UniqueFd plan, PlanFd(*request.plan));
  ExecSyncResult result;
  OutputPipe pipes[2] = {{.into = &result.output}, {.into = &result.error_output}};
  std::vector<int> fds = {plan.get()};
  wire::ExecRequest message = {};
  if (request.outside_container) {
    message.flags |= wire::kOutsideContainer;
    if (request.host_mounts >= 0) fds.push_back(request.host_mounts);
  } else {
    fds = WithTasks(plan.get(), *request.cgroup);
    message.tasks_fd_count = static_cast<uint32_t>(request.cgroup->tasks.size());
  }
  for (OutputPipe& pipe : pipes) {
    RETURN_IF_ERROR(OpenPipe(&pipe));
    fds.push_back(pipe.write.get());
  }
  CopyId(request.container_id, message.container_id);
  message.timeout_ms = Milliseconds(request.timeout);
  RETURN_IF_ERROR(SendPacket(socket.get(), Message(Type::kExec, message), fds));
  for (OutputPipe& pipe : pipes) pipe.write.reset();

  size_t room = request.max_output_bytes;
  bool exited = false, timed_out = false;
  absl::Time drain_until = absl::InfiniteFuture();
  while (!exited || pipes[0].read.valid() || pipes[1].read.valid()) {
    pollfd wait[3] = {{exited ? -1 : socket.get(), POLLIN, 0},
                      {pipes[0].read.get(), POLLIN, 0},
                      {pipes[1].read.get(), POLLIN, 0}};
    if (::poll(wait, 3, static_cast<int>(absl::ToInt64Milliseconds(kCancelPoll))) < 0 &&
        errno != EINTR) {
      return ErrnoStatus("poll", "exec");
    }
    // Closing the connection makes the monitor kill the exec as a whole.
    if (request.cancelled && request.cancelled())
      return absl::CancelledError("exec: the caller is gone");
    for (int i = 0; i < 2; ++i) {
      if (wait[i + 1].revents != 0) Drain(&pipes[i], &room);
    }
    if (wait[0].revents != 0) {
      absl::StatusOr<Packet> packet = ReceivePacket(socket.get(), absl::Now());
      if (!packet.ok())
        return absl::UnavailableError(absl::StrCat("monitor: ", packet.status().message()));
      ASSIGN_OR_RETURN(const Type type, TypeOf(packet->data));
      if (type == Type::kError) return ErrorFrom(*packet, request.plan);
      if (type != Type::kExit) continue;
      ASSIGN_OR_RETURN(const wire::ExitEvent event, Payload<wire::ExitEvent>(*packet));
      exited = true;
      timed_out = (event.flags & wire::kExitTimeout) != 0;
      result.exit_code = event.exit_code;
      drain_until = absl::Now() + kDrain;
    }
    if (timed_out || absl::Now() > drain_until) break;
  }
  if (timed_out) {
    return absl::DeadlineExceededError(
        absl::StrCat("exec: command timed out after ", absl::FormatDuration(request.timeout)));
  }
  return result;
}

absl::Status MonitorClient::ReopenLog(absl::string_view container_id, const UniqueFd& log) const {
  ASSIGN_OR_RETURN(const UniqueFd socket, Connect());
  wire::ContainerRequest request = {};
  CopyId(container_id, request.container_id);
  RETURN_IF_ERROR(SendPacket(socket.get(), Message(Type::kReopenLog, request), {log.get()}));
  return Receive(socket.get(), Type::kOk, absl::Now() + kAnswerTimeout).status();
}

absl::Status MonitorClient::Forget(absl::string_view container_id) const {
  ASSIGN_OR_RETURN(const UniqueFd socket, Connect());
  wire::ContainerRequest request = {};
  CopyId(container_id, request.container_id);
  RETURN_IF_ERROR(SendPacket(socket.get(), Message(Type::kForget, request), {}));
  const absl::Status done = Receive(socket.get(), Type::kOk, absl::Now() + kAnswerTimeout).status();
  // EBUSY
  if (absl::IsUnavailable(done) && absl::StrContains(done.message(), "forget")) {
    return absl::FailedPreconditionError(
        absl::StrCat("forget container ", container_id, ": it has not exited"));
  }
  return done;
}

absl::Status MonitorClient::Shutdown() const {
  ASSIGN_OR_RETURN(const UniqueFd socket, Connect());
  RETURN_IF_ERROR(SendPacket(socket.get(), Message(Type::kShutdown), {}));
  return Receive(socket.get(), Type::kOk, absl::Now() + kAnswerTimeout).status();
}

absl::StatusOr<UniqueFd> MonitorClient::Watch() const {
  ASSIGN_OR_RETURN(UniqueFd socket, Connect());
  RETURN_IF_ERROR(SendPacket(socket.get(), Message(Type::kWatch), {}));
  return socket;
}

absl::StatusOr<std::optional<WatchEvent>> ParseWatchEvent(absl::string_view data) {
  ASSIGN_OR_RETURN(const Type type, TypeOf(data));
  if (type == Type::kOk) return std::nullopt;
  Packet packet;
  packet.data = std::string(data);
  if (type == Type::kRunning) {
    ASSIGN_OR_RETURN(const wire::RunningEvent event, Payload<wire::RunningEvent>(packet));
    return WatchEvent{.container_id = std::string(event.container_id, wire::kIdBytes),
                      .running = true,
                      .pid = event.pid};
  }
  if (type != Type::kExit) return absl::DataLossError("monitor: unexpected event");
  ASSIGN_OR_RETURN(const wire::ExitEvent event, Payload<wire::ExitEvent>(packet));
  return WatchEvent{.container_id = std::string(event.container_id, wire::kIdBytes),
                    .exit_code = event.exit_code,
                    .oom = (event.flags & wire::kExitOom) != 0,
                    .finished_at = event.finished_at,
                    .log_dropped_bytes = event.log_dropped_bytes};
}

absl::StatusOr<WatchEvent> ReadExitRecord(const std::string& state_dir,
                                          absl::string_view container_id) {
  ASSIGN_OR_RETURN(const std::string text,
                   ReadFileAt(AT_FDCWD, absl::StrCat(state_dir, "/", container_id, ".exit")));
  std::map<std::string, int64_t> values;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(line, absl::MaxSplits('=', 1));
    int64_t value;
    if (absl::SimpleAtoi(pair.second, &value)) values[std::string(pair.first)] = value;
  }
  if (values["version"] != 1 || values.count("exit_code") == 0) {
    return absl::DataLossError(
        absl::StrCat("read exit record of ", container_id, ": damaged or of another version"));
  }
  return WatchEvent{.container_id = std::string(container_id),
                    .exit_code = static_cast<int>(values["exit_code"]),
                    .oom = (values["flags"] & wire::kExitOom) != 0,
                    .finished_at = values["finished_at"]};
}

}  // namespace berth
