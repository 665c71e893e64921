// The start of containers, until they run or have failed.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "src/base/failpoint.h"
#include "src/runtime/monitor/cgroup.h"
#include "src/runtime/monitor/objects.h"
#include "src/runtime/monitor/pod.h"
#include "src/runtime/monitor/slice.h"
#include "src/runtime/monitor/steps_child.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

constexpr char kConsoleSocket[] = "console.sock", kPidFile[] = "pid";

// An index of a request among those of its descriptors that begin with `first`, or none.
bool IsFdOrNone(const Packet& packet, int first, int32_t index) {
  return index >= -1 && index < packet.fd_count() - first;
}

bool HasStep(const Plan& plan, wire::Op op) {
  const char* at = plan.begin();
  for (uint32_t i = 0; i < plan.step_count(); ++i) {
    const Step step(at);
    if (step.op() == op) return true;
    at += step.bytes();
  }
  return false;
}

int CountTasks(const Plan& plan) {
  int count = 0;
  const char* at = plan.begin();
  for (uint32_t i = 0; i < plan.step_count(); ++i) {
    const Step step(at);
    count += step.op() == wire::Op::kJoinCgroup;
    at += step.bytes();
  }
  return count;
}

// The v1 cgroups that the plan joins are those of the container's execs as well.
void KeepTasks(const Plan& plan, Packet* packet, int first, Container* container) {
  const char* at = plan.begin();
  for (uint32_t i = 0; i < plan.step_count(); ++i) {
    const Step step(at);
    at += step.bytes();
    if (step.op() != wire::Op::kJoinCgroup) continue;
    const int tasks = packet->TakeFd(static_cast<int>(step.a()) + first);
    if (tasks >= 0) container->tasks[container->task_count++] = tasks;
  }
}

// The pid that an OCI runtime left; -1 with errno if there is none, or it is not of a child.
pid_t ReadPid(int directory) {
  char text[16] = {};
  const int fd = openat(directory, kPidFile, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -1;
  const ssize_t n = read(fd, text, sizeof(text) - 1);
  close(fd);
  const long pid = n > 0 ? strtol(text, nullptr, 10) : 0;
  errno = EBADMSG;
  if (pid <= 1) return -1;
  siginfo_t info;
  if (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0) return -1;
  return static_cast<pid_t>(pid);
}

}  // namespace

bool Pod::SetNamespaces(int connection, const wire::StartRequest& start, ChildRequest* request) {
  request->own_pid_namespace = own_pid_namespace_;
  request->clone_flags = CLONE_NEWNS;
  const bool clones =
      start.pid_mode == wire::PidMode::kNew && !(start.flags & wire::kPlanClonesPid);
  if (clones) request->clone_flags |= CLONE_NEWPID;
  if (start.pid_mode == wire::PidMode::kPod) {
    request->pid_namespace = init_pidfd_;
  } else if (start.pid_mode == wire::PidMode::kContainer) {
    const Container* target = Find(start.target_id);
    if (target != nullptr && target->state == Container::State::kRunning)
      request->pid_namespace = target->pidfd;
  } else {
    if (start.pid_mode == wire::PidMode::kNew || start.pid_mode == wire::PidMode::kNode)
      return true;
    SendError(connection, -1, EBADMSG, "pid mode");
    return false;
  }
  // Never fall back to the node's pid namespace.
  if (request->pid_namespace >= 0) return true;
  const bool pod = start.pid_mode == wire::PidMode::kPod;
  SendError(connection, -1, pod ? EINVAL : ESRCH,
            pod ? "pod pid namespace" : "find running target container");
  return false;
}

// Whom the pipe belongs to is who may open it again through /proc/self/fd.
bool Pod::OpenPipe(int* ends) {
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  return root_uid_ == 0 || fchown(ends[0], root_uid_, root_gid_) == 0;
}

bool Pod::OpenPipes(Container* container, bool with_stdin, ChildRequest* request) {
  if (container->terminal) return !container->launcher || OpenConsole(container);
  int* write_ends[2] = {&request->log_stdout, &request->log_stderr};
  for (int i = 0; i < 2; ++i) {
    int ends[2] = {-1, -1};
    const bool opened = OpenPipe(ends);
    container->output[i] = ends[0];
    *write_ends[i] = ends[1];
    if (!opened || fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) return false;
  }
  if (!with_stdin) return true;
  if (container->stdin_read >= 0) {
    request->stdin_pipe = container->stdin_read;
    container->stdin_read = -1;
    return true;
  }
  int ends[2] = {-1, -1};
  const bool opened = OpenPipe(ends);
  request->stdin_pipe = ends[0];
  container->stdin_write = ends[1];
  return opened && fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0;
}

void Pod::Start(int connection, Packet* packet) {
  wire::StartRequest start;
  Plan plan;
  const int first = packet->plan() != nullptr ? 0 : 1;  // of the descriptors that the plan names
  if (!packet->Read(&start) || packet->fd_count() < first ||
      !IsFdOrNone(*packet, first, start.cgroup_dir_fd) ||
      !IsFdOrNone(*packet, first, start.memory_dir_fd) ||
      !IsFdOrNone(*packet, first, start.log_fd) || !IsFdOrNone(*packet, first, start.pid_dir_fd)) {
    return SendError(connection, -1, EBADMSG, "start request");
  }
  if (const Container* other = Find(start.container_id); other != nullptr)
    return SendError(connection, -1, other->failed_start ? EAGAIN : EEXIST, "start");
  if (!PlanForFork(*packet, &plan)) return SendError(connection, -1, errno, "read plan");
  if (CountTasks(plan) > kMaxHierarchies) return SendError(connection, -1, E2BIG, "join cgroups");
  ChildRequest request = {
      .plan = &plan, .fds = packet->fds() + first, .fd_count = packet->fd_count() - first};
  if (!SetNamespaces(connection, start, &request)) return;
  Container* container = Make<Container>();
  if (container == nullptr) return SendError(connection, -1, ENOMEM, "start");
  container->pod = this;
  memcpy(container->id, start.container_id, wire::kIdBytes);
  container->requester = connection;
  container->terminal = start.flags & wire::kTerminalFlag;
  container->unified = start.flags & wire::kCgroupIsUnified;
  container->launcher = start.flags & wire::kLauncher;
  container->moving = HasStep(plan, wire::Op::kEnterUserNamespace);
  container->awaits_rest = HasStep(plan, wire::Op::kAwaitCgroups);
  container->stdin_once = start.flags & wire::kStdinOnce;
  container->log.SetLimits(log_limits_);
  if (!ReserveExitRecord(container->id)) {
    const int error = errno;
    Discard(container);
    return SendError(connection, -1, error, "reserve exit record");
  }

  const int cgroup_index = start.cgroup_dir_fd + first, memory_index = start.memory_dir_fd + first;
  const int log_index = start.log_fd + first;
  if (container->unified && start.cgroup_dir_fd >= 0)
    request.clone_into_cgroup = packet->fds()[cgroup_index];
  container->pid_dir = start.pid_dir_fd >= 0 ? packet->TakeFd(start.pid_dir_fd + first) : -1;

  JoinWaiting(container, start.flags & wire::kStdinOpen);
  TakeShortSlices();  // the program would run first, and its start be told of when it pauses
  const char* call = "open pipes and console";
  Child child;
  const bool started = OpenPipes(container, start.flags & wire::kStdinOpen, &request) &&
                       StartChild(request, &child, &call);
  const int error = errno;
  CloseFd(&request.log_stdout);
  CloseFd(&request.log_stderr);
  CloseFd(&request.stdin_pipe);
  if (!started) {
    ReleasePlan(*packet);
    EndFailedStart(container);
    Discard(container);
    return SendError(connection, -1, error, call);
  }
  container->cgroup = start.cgroup_dir_fd >= 0 ? packet->TakeFd(cgroup_index) : -1;
  container->memory_cgroup = start.memory_dir_fd >= 0 ? packet->TakeFd(memory_index) : -1;
  KeepTasks(plan, packet, first, container);
  ReleasePlan(*packet);
  container->log.SetFile(start.log_fd >= 0 ? packet->TakeFd(log_index) : -1);
  container->pid = child.pid;
  container->pidfd = child.pidfd;
  container->channel = child.channel;
  SetHandlers(container);
  container->next = containers_;
  containers_ = container;
}

void Pod::TakeStartRest(int connection, Packet* packet) {
  Container* container = containers_;
  while (container != nullptr && !(container->requester == connection && container->awaits_rest))
    container = container->next;
  if (container == nullptr) return;
  container->awaits_rest = false;
  wire::StartRest rest;
  if (!packet->Read(&rest)) rest = {.error = EBADMSG, .flags = 0, .task_count = 0};
  const int memory = (rest.flags & wire::kHasMemory) != 0 ? 0 : -1;
  const int log = (rest.flags & wire::kHasLog) != 0 ? memory + 1 : -1;
  const int first = (memory >= 0) + (log >= 0), cgroup_fds = packet->fd_count() - first;
  if (rest.error == 0 && rest.task_count > static_cast<uint32_t>(kMaxHierarchies))
    rest.error = E2BIG;
  if (rest.error == 0 && static_cast<int>(rest.task_count) > cgroup_fds) rest.error = EBADMSG;
  const int tasks = rest.error == 0 ? static_cast<int>(rest.task_count) : -rest.error;
  SendChannel(container->channel, {.tag = ChannelTag::kCgroups, .value = tasks},
              packet->fds() + first, rest.error == 0 ? cgroup_fds : 0);
  if (rest.error != 0) return;
  container->memory_cgroup = packet->TakeFd(memory);
  container->log.SetFile(packet->TakeFd(log));
  for (int i = 0; i < tasks; ++i) container->tasks[i] = packet->TakeFd(first + i);
  container->task_count = tasks;
}

void Pod::SetHandlers(Container* container) {
  container->channel_handler = {[](void* owner, int) {
                                  auto* self = static_cast<Container*>(owner);
                                  self->pod->ChannelReady(self);
                                },
                                container, 0};
  loop_->Add(container->channel, &container->channel_handler);
  container->stop_timer = {.fire =
                               [](void* owner) {
                                 auto* self = static_cast<Container*>(owner);
                                 self->pod->KillAll(self);
                                 self->pod->loop_->Arm(&self->stop_timer,
                                                       1000);  // again, until it is dead
                               },
                           .owner = container};
  container->drain_timer = {.fire =
                                [](void* owner) {
                                  auto* self = static_cast<Container*>(owner);
                                  self->pod->FinishExit(self);
                                },
                            .owner = container};
}

// What a process asks while it is being started. The requester is asked for what this monitor
// cannot answer; nobody left to ask ends the start.
void Pod::Relay(int channel, int requester, bool* asking, pid_t pid, ChannelEvent* event) {
  int32_t answer = ENOSYS;
  const wire::StartedReply reply = {.pid = pid};
  switch (event->message.tag) {
    case ChannelTag::kAskPid:
      answer = event->sender;
      break;
    case ChannelTag::kAskHooks:
      *asking = requester >= 0 && Send(requester, wire::Type::kHooksDue, reply);
      answer = ECANCELED;
      break;
    case ChannelTag::kListener:
      *asking = requester >= 0 && event->fd >= 0 &&
                Send(requester, wire::Type::kSeccompListener, &reply, sizeof(reply), &event->fd, 1);
      answer = ECANCELED;
      break;
    case ChannelTag::kTerminal:
    case ChannelTag::kMoved:
    case ChannelTag::kAnswer:
    case ChannelTag::kCgroups:
      return CloseFd(&event->fd);
  }
  CloseFd(&event->fd);
  if (!*asking) SendChannel(channel, {.tag = ChannelTag::kAnswer, .value = answer});
}

void Pod::ChildAsks(Container* container, ChannelEvent* event) {
  if (event->message.tag == ChannelTag::kTerminal && container->output[0] < 0) {
    container->output[0] = event->fd;
    fcntl(container->output[0], F_SETFL, O_RDWR | O_NONBLOCK);
    TerminalCame(container);
  } else if (event->message.tag == ChannelTag::kMoved && container->moving) {
    // Unreaped until this monitor waits for it, so the pid is its own.
    container->moving = false;
    container->pid = event->sender;
    CloseFd(&container->pidfd);
    container->pidfd = syscall(SYS_pidfd_open, container->pid, 0);
    CloseFd(&event->fd);
  } else {
    Relay(container->channel, container->requester, &container->asking, container->pid, event);
  }
}

bool Pod::ChannelReady(Container* container) {
  ChannelEvent event;
  ReceiveChannel(container->channel, &event);
  if (event.kind == ChannelEvent::Kind::kNothing) return false;
  if (event.kind == ChannelEvent::Kind::kMessage) {
    ChildAsks(container, &event);
    return true;
  }
  if (event.kind == ChannelEvent::Kind::kFailure) {
    CloseChannel(container);
    container->failed_start = true;
    memcpy(&container->failure, event.failure, sizeof(container->failure));
    return true;  // told once it has ended, so that its cgroup is free then
  }
  ChannelEnded(container);
  return true;
}

void Pod::CloseChannel(Container* container) {
  loop_->Remove(container->channel);
  CloseFd(&container->channel);
}

void Pod::ChannelEnded(Container* container) {
  CloseChannel(container);
  if (container->failed_start) {
    if (container->pid < 0) FailStart(container);
    return;
  }
  if (!container->moving && !HasExeced(container->pid)) {
    container->failed_start = true;  // and how it ended will say why
    return;
  }
  if (container->moving) {
    container->failed_start = true;
    container->failure = {.step = -1, .error = ECHILD, .call = "enter user namespace"};
    if (container->pid < 0) FailStart(container);
    return;
  }
  for (int i = 0; i < 2; ++i) {
    if (container->output[i] >= 0) ListenToOutput(container, i);
  }
  if (!container->launcher) Started(container);
}

void Pod::Started(Container* container) {
  container->state = Container::State::kRunning;
  FAILPOINT("monitor.started");
  const wire::StartedReply reply = {.pid = container->pid};
  const bool told =
      container->requester >= 0 && Send(container->requester, wire::Type::kStarted, reply);
  container->requester = -1;
  TakeUsualSlices();
  if (told) return;
  // Its requester is gone, and whoever watches by now was not told of it.
  Tell(container, SendRunning);
}

// Its first process has ended. Nothing is left of it afterwards, the object included.
void Pod::FailStart(Container* container) {
  if (container->cgroup >= 0) KillCgroup(container->cgroup);
  if (container->requester >= 0) Send(container->requester, wire::Type::kError, container->failure);
  EndFailedStart(container);
  Unlink(&containers_, container);
  Discard(container);
}

void Pod::EndFailedStart(Container* container) {
  TakeUsualSlices();
  GiveUpExitRecord(container->id);
  wire::ExitEvent exit = {
      .exit_code = kStartFailed, .flags = wire::kExitFailedStart, .finished_at = WallNanoseconds()};
  memcpy(exit.container_id, container->id, wire::kIdBytes);
  EndAttachments(container->id, exit);
}

// The runtime's `create` has ended: with success, the container is the process in the pid file,
// which has become a child of this monitor.
void Pod::LauncherExited(Container* container, int status) {
  container->launcher = false;
  const pid_t pid = status == 0 ? ReadPid(container->pid_dir) : -1;
  const int pidfd = pid > 0 ? syscall(SYS_pidfd_open, pid, 0) : -1;
  if (pidfd < 0) {
    container->failed_start = true;
    container->failure = {.step = -1, .error = status == 0 ? errno : ECHILD};
    const char* call = status == 0 ? "read pid of runtime"
                       : WIFSIGNALED(status)
                           ? CallText("runtime killed by signal ", WTERMSIG(status))
                           : CallText("runtime exited with status ", WEXITSTATUS(status));
    strncpy(container->failure.call, call, sizeof(container->failure.call) - 1);
    return FailStart(container);
  }
  container->pid = pid;
  CloseFd(&container->pidfd);
  container->pidfd = pidfd;
  Started(container);
}

// A socket with a short relative name: sun_path holds 108 bytes, a bundle's path may be longer.
bool Pod::OpenConsole(Container* container) {
  container->console = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  strcpy(address.sun_path, kConsoleSocket);
  if (container->console < 0 || fchdir(container->pid_dir) != 0) return false;
  unlinkat(container->pid_dir, kConsoleSocket, 0);
  const bool bound =
      bind(container->console, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
      listen(container->console, 1) == 0;
  const int error = errno;
  if (chdir("/") != 0) return false;
  errno = error;
  container->console_handler = {[](void* owner, int) {
                                  auto* self = static_cast<Container*>(owner);
                                  self->pod->ConsoleReady(self);
                                },
                                container, 0};
  return bound && loop_->Add(container->console, &container->console_handler);
}

// The runtime connects, and sends the terminal's master with some text.
void Pod::ConsoleReady(Container* container) {
  const int peer = accept4(container->console, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (peer >= 0) {
    loop_->Remove(container->console);
    CloseFd(&container->console);
    container->console = peer;
    loop_->Add(peer, &container->console_handler);
    return;
  }
  char text[256];
  iovec iov = {text, sizeof(text)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t n = recvmsg(container->console, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  const cmsghdr* header = n > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS && container->output[0] < 0) {
    memcpy(&container->output[0], CMSG_DATA(header), sizeof(int));
    fcntl(container->output[0], F_SETFL, O_RDWR | O_NONBLOCK);
    ListenToOutput(container, 0);
    TerminalCame(container);
  }
  CloseConsole(container);
}

void Pod::CloseConsole(Container* container) {
  if (container->console < 0) return;
  loop_->Remove(container->console);
  CloseFd(&container->console);
  unlinkat(container->pid_dir, kConsoleSocket, 0);
}

}  // namespace berth::monitor
