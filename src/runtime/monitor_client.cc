#include "src/runtime/monitor_client.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/failpoint.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/base/undo.h"
#include "src/kernel/file.h"
#include "src/kernel/reap.h"
#include "src/kernel/socket.h"
#include "src/runtime/monitor_messages.h"

namespace berth {
namespace {

using wire::Type;

constexpr absl::Duration kStillEndingPause = absl::Milliseconds(2);
// Of a pod's plan; more than most have, and what a socket takes however small
// net.core.wmem_default is.
constexpr size_t kPodPlanInMessageBytes = 1 << 10;

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

// `message`, with the plan where the monitor looks for it.
std::string WithPlan(std::string message, const std::string& plan) {
  message.resize(wire::kPlanOffset);
  return message += plan;
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

// An earlier start of the container, whose berthd died, has not come to its end yet.
bool IsStillEnding(const Packet& packet) {
  const absl::StatusOr<wire::ErrorReply> reply = Payload<wire::ErrorReply>(packet);
  return reply.ok() && reply->step < 0 && reply->error == EAGAIN &&
         absl::string_view(reply->call, strnlen(reply->call, sizeof(reply->call))) == "start";
}

// Makes it and sends it.
absl::Status SupplyRest(int socket, const ContainerStart& start) {
  const absl::StatusOr<StartRest> rest = start.make_rest();
  if (!rest.ok()) {
    const wire::StartRest none = {.error = ECANCELED, .flags = 0, .task_count = 0};
    RETURN_IF_ERROR(SendPacket(socket, Message(Type::kStartRest, none), {}));
    return rest.status();
  }
  wire::StartRest message = {
      .error = 0, .flags = 0, .task_count = static_cast<uint32_t>(rest->cgroups.tasks.size())};
  std::vector<int> fds;
  const auto add = [&](const UniqueFd& fd, uint32_t flag) {
    if (!fd.valid()) return;
    message.flags |= flag;
    fds.push_back(fd.get());
  };
  add(rest->cgroups.memory, wire::kHasMemory);
  add(rest->log, wire::kHasLog);
  for (const UniqueFd& tasks : rest->cgroups.tasks) fds.push_back(tasks.get());
  for (const UniqueFd& view : rest->views) fds.push_back(view.get());
  return SendPacket(socket, Message(Type::kStartRest, message), fds);
}

// Waits for kStarted; nullopt: to be asked again. After an error on this side, a callback's, the
// monitor still answers, once the process is gone.
absl::StatusOr<std::optional<pid_t>> AwaitStarted(int socket, const ContainerStart& start,
                                                  absl::Status failed) {
  while (true) {
    absl::StatusOr<Packet> packet =
        ReceivePacket(socket, SteadyNow() + kAnswerTimeout + HookTime(*start.plan));
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
    if (!start.make_rest && IsStillEnding(*packet)) return std::nullopt;
    const absl::Status error = ErrorFrom(*packet, start.plan);
    const std::string said = start.pid_dir.valid() && absl::IsAborted(error)
                                 ? LastRuntimeError(start.pid_dir.get())
                                 : "";
    if (said.empty()) return error;
    return absl::Status(error.code(), absl::StrCat(error.message(), ": ", said));
  }
}

}  // namespace

absl::StatusOr<ReadyMonitor> ReadyMonitor::Start(const Options& options) {
  if (::mkdir(options.state_dir.c_str(), 0700) != 0) return ErrnoStatus("mkdir", options.state_dir);
  Undo undo;
  undo.Push([&] { RemoveTreeAt(AT_FDCWD, options.state_dir).IgnoreError(); });
  ASSIGN_OR_RETURN(const UniqueFd state_dir, OpenDir(AT_FDCWD, options.state_dir));
  ASSIGN_OR_RETURN(const UniqueFd log,
                   OpenFile(state_dir.get(), "monitor.log", O_WRONLY | O_CREAT | O_APPEND, 0600));
  ASSIGN_OR_RETURN(const UniqueFd listener,
                   ListenUnix(options.state_dir + "/monitor.sock", SOCK_SEQPACKET, 0600));
  ASSIGN_OR_RETURN(SocketPair connection, ConnectedPair());
  ASSIGN_OR_RETURN(SocketPair watch, ConnectedPair());
  RETURN_IF_ERROR(SendPacket(watch.ours.get(), Message(Type::kWatch), {}));  // read with a pod
  // Both words become the pod's id, which is where people look for it.
  const std::string name = "ready", room(wire::kIdBytes - name.size() - 1, ' ');
  ASSIGN_OR_RETURN(SpawnedProcess process,
                   Spawn({.executable_fd = options.executable,
                          .argv = {"berth-monitor", name, room},
                          .fds = {-1, -1, log.get(), connection.theirs.get(), state_dir.get(),
                                  options.mount_namespace, listener.get(), watch.theirs.get()},
                          .cgroup_dir = options.cgroup_dir}));
  undo.Commit();
  ReadyMonitor monitor(options.state_dir, std::move(process), std::move(connection.ours),
                       std::move(watch.ours));
  const pid_t pid = monitor.process_.pid;
  rlimit descriptors = {};
  if (options.descriptor_limit > 0 && ::prlimit(pid, RLIMIT_NOFILE, nullptr, &descriptors) == 0) {
    descriptors.rlim_cur = std::min<rlim_t>(options.descriptor_limit, descriptors.rlim_max);
    if (::prlimit(pid, RLIMIT_NOFILE, &descriptors, nullptr) != 0)
      return ErrnoStatus("prlimit", "berth-monitor");
  }
  if (options.plan != nullptr) {
    ASSIGN_OR_RETURN(const std::string plan, PlanBytes(*options.plan));
    RETURN_IF_ERROR(
        SendPacket(monitor.connection_.get(), WithPlan(Message(Type::kPrepare), plan), {}));
  }
  return monitor;
}

ReadyMonitor::~ReadyMonitor() {
  if (!process_.pidfd.valid()) return;
  KillAndReap(std::move(process_.pidfd), /*hangs=*/false);
  RemoveTreeAt(AT_FDCWD, state_dir_).IgnoreError();
}

bool ReadyMonitor::HasEnded() const {
  pollfd closed = {.fd = connection_.get(), .events = 0, .revents = 0};
  return ::poll(&closed, 1, 0) != 0;
}

absl::StatusOr<PodMonitor> MonitorClient::SetUp(ReadyMonitor monitor, const PodStart& start) const {
  if (::rename(monitor.state_dir_.c_str(), state_dir_.c_str()) != 0)
    return ErrnoStatus("rename", monitor.state_dir_);
  std::vector<int> fds;
  if (start.cgroup != nullptr) fds = TasksOf(*start.cgroup);
  wire::SetUpRequest request = {.pod_id = {},
                                .flags = start.own_pid_namespace ? wire::kOwnPidNamespace : 0u,
                                .task_count = static_cast<uint32_t>(fds.size())};
  CopyId(start.pod_id, request.pod_id);
  ASSIGN_OR_RETURN(const std::string plan, PlanBytes(*start.plan));
  UniqueFd plan_file;
  const bool in_file = plan.size() > kPodPlanInMessageBytes;
  if (in_file) {
    request.flags |= wire::kPlanInFile;
    ASSIGN_OR_RETURN(plan_file, PlanFd(plan));
    fds.push_back(plan_file.get());
  }
  fds.insert(fds.end(), start.plan_fds.begin(), start.plan_fds.end());
  const std::string message = Message(Type::kSetUp, request);
  const absl::Status sent =
      SendPacket(monitor.connection_.get(), in_file ? message : WithPlan(message, plan), fds);
  if (!sent.ok()) return Annotate(sent, "monitor");
  if (idle_ != nullptr) idle_->takes_plans = idle_->of_this_version = true;
  return PodMonitor{.process = std::move(monitor.process_),
                    .greeting = std::move(monitor.connection_),
                    .watch = std::move(monitor.watch_)};
}

UniqueFd IdleConnection::Take() {
  absl::MutexLock lock(&mu_);
  return std::move(connection_);
}

void IdleConnection::Put(UniqueFd connection) {
  connection = SetAside(std::move(connection));
  absl::MutexLock lock(&mu_);
  connection_ = std::move(connection);
}

absl::StatusOr<UniqueFd> MonitorClient::Connect() const {
  absl::StatusOr<UniqueFd> socket = ConnectUnix(state_dir_ + "/monitor.sock", SOCK_SEQPACKET);
  if (socket.ok()) return socket;
  if (absl::IsDeadlineExceeded(socket.status()))
    return absl::DeadlineExceededError("monitor: does not answer");
  if (!absl::IsUnavailable(socket.status()) && !absl::IsNotFound(socket.status()))
    return Annotate(socket.status(), "monitor");
  return absl::UnavailableError(absl::StrCat("monitor is gone: ", socket.status().message()));
}

absl::StatusOr<UniqueFd> MonitorClient::Send(absl::string_view message,
                                             const std::vector<int>& fds) const {
  UniqueFd kept = idle_ == nullptr ? UniqueFd() : idle_->Take();
  if (kept.valid()) {
    const absl::Status sent = SendPacket(kept.get(), message, fds);
    if (sent.ok()) return kept;
    if (absl::IsOutOfRange(sent)) {
      Keep(std::move(kept));
      return sent;
    }
  }
  // One that the monitor has closed takes nothing, so nothing is asked twice.
  ASSIGN_OR_RETURN(UniqueFd made, Connect());
  RETURN_IF_ERROR(SendPacket(made.get(), message, fds));
  return made;
}

absl::StatusOr<UniqueFd> MonitorClient::SendWithPlan(bool may_be_in_message, std::string with_plan,
                                                     const std::string& request,
                                                     const std::string& plan,
                                                     const std::vector<int>& fds) const {
  if (may_be_in_message && plan.size() <= wire::kPlanInMessageMaxBytes) {
    absl::StatusOr<UniqueFd> socket = Send(WithPlan(std::move(with_plan), plan), fds);
    // Where net.core.wmem_default is small.
    if (!absl::IsOutOfRange(socket.status())) return socket;
  }
  ASSIGN_OR_RETURN(const UniqueFd plan_file, PlanFd(plan));
  std::vector<int> with_file = {plan_file.get()};
  with_file.insert(with_file.end(), fds.begin(), fds.end());
  return Send(request, with_file);
}

absl::Status MonitorClient::Ask(absl::string_view message, const std::vector<int>& fds,
                                absl::Duration patience) const {
  ASSIGN_OR_RETURN(UniqueFd socket, Send(message, fds));
  RETURN_IF_ERROR(Receive(socket.get(), Type::kOk, SteadyNow() + patience).status());
  Keep(std::move(socket));
  return absl::OkStatus();
}

void MonitorClient::Keep(UniqueFd connection) const {
  if (idle_ != nullptr) idle_->Put(std::move(connection));
}

bool MonitorClient::IsGone() const {
  const absl::Status connected = ConnectUnix(state_dir_ + "/monitor.sock", SOCK_SEQPACKET).status();
  return absl::IsUnavailable(connected) || absl::IsNotFound(connected);
}

absl::StatusOr<MonitorHello> MonitorClient::Hello(const LaunchPlan& plan,
                                                  absl::Duration patience) const {
  ASSIGN_OR_RETURN(UniqueFd asked, Send(Message(Type::kHello)));
  return AwaitHello(std::move(asked), plan, patience);
}

absl::StatusOr<MonitorHello> MonitorClient::AwaitGreeting(UniqueFd greeting,
                                                          const LaunchPlan& plan) const {
  return AwaitHello(std::move(greeting), plan, kAnswerTimeout);
}

absl::StatusOr<MonitorHello> MonitorClient::AwaitHello(UniqueFd asked, const LaunchPlan& plan,
                                                       absl::Duration patience) const {
  ASSIGN_OR_RETURN(Packet packet,
                   Receive(asked.get(), Type::kHelloReply, SteadyNow() + patience, &plan));
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
  Keep(std::move(asked));
  return hello;
}

absl::StatusOr<pid_t> MonitorClient::Start(ContainerStart start) const {
  ASSIGN_OR_RETURN(const std::string plan, PlanBytes(*start.plan));
  std::vector<int> fds = TasksOf(*start.cgroup);
  for (const UniqueFd& volume : start.volumes) fds.push_back(volume.get());
  const auto add = [&fds](int fd) {
    if (fd < 0) return -1;
    fds.push_back(fd);
    return static_cast<int>(fds.size()) - 1;
  };
  add(start.user_namespace);
  add(start.host_mounts);
  wire::StartRequest request = {};
  CopyId(start.container_id, request.container_id);
  if (start.terminal) request.flags |= wire::kTerminalFlag;
  if (start.cgroup->unified) request.flags |= wire::kCgroupIsUnified;
  if (start.stdin_open) request.flags |= wire::kStdinOpen;
  if (start.stdin_open && start.stdin_once) request.flags |= wire::kStdinOnce;
  if (start.pid_dir.valid()) request.flags |= wire::kLauncher;
  if (ClonesPidNamespace(*start.plan)) request.flags |= wire::kPlanClonesPid;
  request.pid_mode = start.pid_mode;
  CopyId(start.target_id, request.target_id);
  request.cgroup_dir_fd = add(start.cgroup->directory.get());
  request.memory_dir_fd = add(start.cgroup->memory.get());
  request.log_fd = add(start.log.get());
  request.pid_dir_fd = add(start.pid_dir.get());
  if (fds.size() >= wire::kMaxMessageFds) {
    return absl::InvalidArgumentError(
        absl::StrCat("mounts: ", start.volumes.size(), " are more than one container may have"));
  }
  const absl::Time deadline = SteadyNow() + kAnswerTimeout;
  while (true) {
    ASSIGN_OR_RETURN(UniqueFd socket,
                     SendWithPlan(IsOfThisVersion(), Message(Type::kStartWithPlan, request),
                                  Message(Type::kStart, request), plan, fds));
    absl::Status failed;
    if (start.make_rest) {
      start.volumes.clear();  // it is not asked again
      failed = SupplyRest(socket.get(), start);
    }
    ASSIGN_OR_RETURN(const std::optional<pid_t> pid,
                     AwaitStarted(socket.get(), start, std::move(failed)));
    Keep(std::move(socket));
    if (pid.has_value()) return *pid;
    if (SteadyNow() > deadline) return absl::DeadlineExceededError("monitor: does not end a start");
    absl::SleepFor(kStillEndingPause);
  }
}

absl::Status MonitorClient::Stop(absl::string_view container_id, int signal, absl::Duration timeout,
                                 absl::Duration patience) const {
  RETURN_IF_FAULT("stop_container.signal");
  wire::StopRequest request = {};
  CopyId(container_id, request.container_id);
  request.signal = signal;
  request.timeout_ms = Milliseconds(timeout);
  return Ask(Message(Type::kStop, request), {}, patience);
}

absl::Status MonitorClient::LimitLogs(const wire::LogLimits& limits) const {
  return Ask(Message(Type::kLimitLogs, limits));
}

absl::Status MonitorClient::ReopenLog(absl::string_view container_id, const UniqueFd& log) const {
  wire::ContainerRequest request = {};
  CopyId(container_id, request.container_id);
  return Ask(Message(Type::kReopenLog, request), {log.get()});
}

absl::Status MonitorClient::Forget(absl::string_view container_id) const {
  RETURN_IF_FAULT("remove_container.forget");
  wire::ContainerRequest request = {};
  CopyId(container_id, request.container_id);
  const absl::Status done = Ask(Message(Type::kForget, request));
  // EBUSY
  if (absl::IsUnavailable(done) && absl::StrContains(done.message(), "forget")) {
    return absl::FailedPreconditionError(
        absl::StrCat("forget container ", container_id, ": it has not exited"));
  }
  return done;
}

absl::Status MonitorClient::Shutdown(absl::Duration patience) const {
  RETURN_IF_FAULT("remove_pod.monitor");
  ASSIGN_OR_RETURN(const UniqueFd socket, Send(Message(Type::kShutdown)));
  return Receive(socket.get(), Type::kOk, SteadyNow() + patience).status();
}

absl::Status MonitorClient::BeginShutdown(const UniqueFd& watch) {
  RETURN_IF_FAULT("remove_pod.monitor");
  return SendPacket(watch.get(), Message(Type::kShutdown), {});
}

absl::StatusOr<UniqueFd> MonitorClient::Watch() const { return Send(Message(Type::kWatch)); }

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
  if (type == Type::kLogDropped) {
    ASSIGN_OR_RETURN(const wire::LogDroppedEvent event, Payload<wire::LogDroppedEvent>(packet));
    return WatchEvent{.container_id = std::string(event.container_id, wire::kIdBytes),
                      .log_dropped = true,
                      .log_dropped_bytes = event.bytes};
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
                    .finished_at = values["finished_at"],
                    .log_dropped_bytes = static_cast<uint64_t>(values["log_dropped_bytes"])};
}

}  // namespace berth
