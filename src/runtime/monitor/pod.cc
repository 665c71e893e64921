#include "src/runtime/monitor/pod.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <new>

#include "src/runtime/monitor/cgroup.h"
#include "src/runtime/monitor/steps_child.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

constexpr int64_t kDrainMs =
    1500;  // for output held open by processes that outlive the container's first
constexpr int64_t kLeafRetryMs = 5;
constexpr int kLeafTries = 400;

char read_buffer[64 << 10];

void CloseFd(int* fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

int ExitCode(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// An index of a request among the descriptors behind the plan, or none.
bool IsFdOrNone(const Packet& packet, int32_t index) {
  return index >= -1 && index < packet.fd_count() - 1;
}

bool SameId(const char* a, const char* b) { return memcmp(a, b, wire::kIdBytes) == 0; }

// musl's operator new would need the C++ runtime; the objects are few and plain.
template <typename T>
T* Make() {
  void* memory = calloc(1, sizeof(T));
  return memory == nullptr ? nullptr : new (memory) T();
}

template <typename T>
void Destroy(T* object) {
  object->~T();
  free(object);
}

template <typename T>
void Unlink(T** list, T* object) {
  for (T** link = list; *link != nullptr; link = &(*link)->next) {
    if (*link == object) {
      *link = object->next;
      return;
    }
  }
}

}  // namespace

bool Pod::SetUp(const Plan& plan, const int* fds, int fd_count, bool pod_pid_namespace,
                wire::ErrorReply* failed) {
  own_pid_namespace_ = syscall(SYS_pidfd_open, getpid(), 0);
  StepContext context;
  context.fds = fds;
  context.fd_count = fd_count;
  StepFailure failure = RunSteps(plan, &context);
  CloseFd(&context.proc);
  if (failure.error == 0 && pod_pid_namespace) {
    clone_args args = {};
    args.flags = CLONE_NEWPID | CLONE_PIDFD;
    args.pidfd = reinterpret_cast<uint64_t>(&init_pidfd_);
    args.exit_signal = SIGCHLD;
    init_pid_ = sys::Clone3(&args);
    if (init_pid_ == 0) RunPodInit();
    if (init_pid_ < 0) failure = {.step = -1, .error = errno, .call = "clone3 pod init"};
  }
  if (failure.error == 0) return true;
  failed->step = failure.step;
  failed->error = failure.error;
  strncpy(failed->call, failure.call, sizeof(failed->call) - 1);
  return false;
}

Container* Pod::Find(const char* id) {
  for (Container* container = containers_; container != nullptr; container = container->next) {
    if (SameId(container->id, id)) return container;
  }
  return nullptr;
}

Container* Pod::FindOrRefuse(int connection, const char* id) {
  Container* container = Find(id);
  if (container == nullptr) SendError(connection, -1, ENOENT, "find container");
  return container;
}

bool Pod::OpenLogPipes(Container* container, ChildRequest* request, int* write_ends) {
  for (int i = 0; i < 2; ++i) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    container->output[i] = ends[0];
    write_ends[i] = ends[1];
  }
  request->log_stdout = write_ends[0];
  request->log_stderr = write_ends[1];
  return true;
}

void Pod::Start(int connection, Packet* packet) {
  wire::StartRequest start;
  Plan plan;
  if (!packet->Read(&start) || packet->fd_count() < 1 ||
      !IsFdOrNone(*packet, start.cgroup_dir_fd) || !IsFdOrNone(*packet, start.memory_dir_fd) ||
      !IsFdOrNone(*packet, start.log_fd)) {
    return SendError(connection, -1, EBADMSG, "start request");
  }
  if (Find(start.container_id) != nullptr) return SendError(connection, -1, EEXIST, "start");
  if (!plan.Map(packet->fds()[0])) return SendError(connection, -1, errno, "read plan");
  Container* container = Make<Container>();
  if (container == nullptr) return SendError(connection, -1, ENOMEM, "start");
  container->pod = this;
  memcpy(container->id, start.container_id, wire::kIdBytes);
  container->requester = connection;
  container->terminal = start.flags & wire::kTerminalFlag;
  container->unified = start.flags & wire::kCgroupIsUnified;

  // The plan's operands count from the first descriptor behind the plan.
  ChildRequest request = {
      .plan = &plan, .fds = packet->fds() + 1, .fd_count = packet->fd_count() - 1};
  const int cgroup_index = start.cgroup_dir_fd + 1, memory_index = start.memory_dir_fd + 1;
  const int log_index = start.log_fd + 1;
  request.clone_flags = CLONE_NEWNS | (start.pid_mode == wire::PidMode::kNew ? CLONE_NEWPID : 0);
  if (start.pid_mode == wire::PidMode::kPod) {
    if (init_pidfd_ < 0) {  // never fall back to the node's pid namespace
      Discard(container);
      return SendError(connection, -1, EINVAL, "pod pid namespace");
    }
    request.pid_namespace = init_pidfd_;
  }
  request.own_pid_namespace = own_pid_namespace_;
  if (container->unified && start.cgroup_dir_fd >= 0)
    request.clone_into_cgroup = packet->fds()[cgroup_index];

  int write_ends[2] = {-1, -1};
  const char* call = "pipe";
  Child child;
  const bool started = (container->terminal || OpenLogPipes(container, &request, write_ends)) &&
                       StartChild(request, &child, &call);
  const int error = errno;
  CloseFd(&write_ends[0]);
  CloseFd(&write_ends[1]);
  if (!started) {
    Discard(container);
    return SendError(connection, -1, error, call);
  }
  container->cgroup = start.cgroup_dir_fd >= 0 ? packet->TakeFd(cgroup_index) : -1;
  container->memory_cgroup = start.memory_dir_fd >= 0 ? packet->TakeFd(memory_index) : -1;
  container->log.SetFile(start.log_fd >= 0 ? packet->TakeFd(log_index) : -1);
  container->pid = child.pid;
  container->pidfd = child.pidfd;
  container->channel = child.channel;
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
  container->next = containers_;
  containers_ = container;
}

// The child's channel: the terminal's master, an error, or its end by exec.
void Pod::ChannelReady(Container* container) {
  char data[sizeof(wire::Header) + sizeof(wire::ErrorReply)];
  iovec iov = {data, sizeof(data)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t n = recvmsg(container->channel, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n == 1) {
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
      memcpy(&container->output[0], CMSG_DATA(header), sizeof(int));
      fcntl(container->output[0], F_SETFL, O_RDWR | O_NONBLOCK);
    }
    return;
  }
  loop_->Remove(container->channel);
  CloseFd(&container->channel);
  if (n == static_cast<ssize_t>(sizeof(data))) {
    container->failed_start = true;
    memcpy(&container->failure, data + sizeof(wire::Header), sizeof(container->failure));
    return;  // told once it has ended, so that its cgroup is free then
  }
  container->state = Container::State::kRunning;
  for (int i = 0; i < 2; ++i) {
    if (container->output[i] < 0) continue;
    container->output_handler[i] = {[](void* owner, int which) {
                                      auto* self = static_cast<Container*>(owner);
                                      self->pod->OutputReady(self, which);
                                    },
                                    container, i};
    loop_->Add(container->output[i], &container->output_handler[i]);
  }
  if (container->requester >= 0) {
    Send(container->requester, wire::Type::kStarted, wire::StartedReply{.pid = container->pid});
  }
  container->requester = -1;
}

void Pod::OutputReady(Container* container, int which) {
  const ssize_t n = read(container->output[which], read_buffer, sizeof(read_buffer));
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n > 0) {
    container->log.Write(which == 0 ? LogWriter::kStdout : LogWriter::kStderr, read_buffer, n);
    return;
  }
  CloseOutput(container, which);  // end of file; EIO from a terminal without a slave
  if (container->state == Container::State::kDraining && container->output[0] < 0 &&
      container->output[1] < 0) {
    FinishExit(container);
  }
}

void Pod::CloseOutput(Container* container, int which) {
  if (container->output[which] < 0) return;
  loop_->Remove(container->output[which]);
  CloseFd(&container->output[which]);
  container->log.Finish(which == 0 ? LogWriter::kStdout : LogWriter::kStderr);
}

void Pod::KillAll(Container* container) {
  if (container->cgroup >= 0) KillCgroup(container->cgroup);
  if (container->state == Container::State::kStarting ||
      container->state == Container::State::kRunning) {
    kill(container->pid, SIGKILL);
  }
}

void Pod::Reap() {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    if (pid == init_pid_) init_pid_ = -1;
    for (Container* container = containers_; container != nullptr; container = container->next) {
      if (container->pid != pid) continue;
      Exited(container, status);
      break;
    }
    for (Exec* exec = execs_; exec != nullptr; exec = exec->next) {
      if (exec->pid != pid || exec->exited) continue;
      ExecExited(exec, status);
      break;
    }
  }
}

void Pod::Exited(Container* container, int status) {
  if (container->channel >= 0) ChannelReady(container);  // an exec and an exit between two events
  container->pid = -1;
  container->exit.exit_code = ExitCode(status);
  container->exit.finished_at = WallNanoseconds();
  loop_->Disarm(&container->stop_timer);
  if (container->failed_start) {
    if (container->cgroup >= 0) KillCgroup(container->cgroup);
    if (container->requester >= 0)
      Send(container->requester, wire::Type::kError, container->failure);
    Unlink(&containers_, container);
    Discard(container);
    return;
  }
  // Where the container had no pid namespace of its own, others of its processes may live on: it
  // ends as a whole.
  if (container->cgroup >= 0) KillCgroup(container->cgroup);
  container->state = Container::State::kDraining;
  loop_->Arm(&container->drain_timer, kDrainMs);
  for (int which = 0; which < 2; ++which) {
    while (container->state == Container::State::kDraining && container->output[which] >= 0) {
      errno = 0;
      const ssize_t n = read(container->output[which], read_buffer, sizeof(read_buffer));
      if (n > 0) {
        container->log.Write(which == 0 ? LogWriter::kStdout : LogWriter::kStderr, read_buffer, n);
      } else if (n < 0 && errno == EAGAIN) {
        break;
      } else if (n == 0 || errno != EINTR) {
        CloseOutput(container, which);
      }
    }
  }
  if (container->output[0] < 0 && container->output[1] < 0) FinishExit(container);
}

void Pod::FinishExit(Container* container) {
  if (container->state != Container::State::kDraining) return;
  loop_->Disarm(&container->drain_timer);
  CloseOutput(container, 0);
  CloseOutput(container, 1);
  if (container->exit.exit_code == 128 + SIGKILL && !container->stop_requested &&
      OomKills(container->memory_cgroup) > 0) {
    container->exit.flags |= wire::kExitOom;
  }
  memcpy(container->exit.container_id, container->id, wire::kIdBytes);
  container->exit.log_dropped_bytes = container->log.dropped_bytes();
  container->log.SetFile(-1);
  container->state = Container::State::kExited;
  WriteExitRecord(*container);
  CloseFd(&container->pidfd);
  CloseFd(&container->cgroup);
  CloseFd(&container->memory_cgroup);
  Announce(*container);
}

bool Pod::WriteExitRecord(const Container& container) {
  char name[wire::kIdBytes + 8], temporary[wire::kIdBytes + 12], text[256];
  snprintf(name, sizeof(name), "%.*s.exit", wire::kIdBytes, container.id);
  snprintf(temporary, sizeof(temporary), "%s.tmp", name);
  const int length =
      snprintf(text, sizeof(text), "version=1\nexit_code=%d\nflags=%u\nfinished_at=%lld\n",
               container.exit.exit_code, container.exit.flags,
               static_cast<long long>(container.exit.finished_at));
  const int fd =
      openat(state_dir_, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  const bool written = write(fd, text, length) == length;
  close(fd);
  return written && renameat(state_dir_, temporary, state_dir_, name) == 0;
}

void Pod::Announce(const Container& container) {
  for (const int watcher : watchers_) {
    if (watcher >= 0) Send(watcher, wire::Type::kExit, container.exit);
  }
}

void Pod::Discard(Container* container) {
  loop_->Disarm(&container->stop_timer);
  loop_->Disarm(&container->drain_timer);
  for (int* fd : {&container->channel, &container->output[0], &container->output[1]}) {
    if (*fd >= 0) loop_->Remove(*fd);
    CloseFd(fd);
  }
  CloseFd(&container->pidfd);
  CloseFd(&container->cgroup);
  CloseFd(&container->memory_cgroup);
  Destroy(container);
}

void Pod::StartExec(int connection, Packet* packet) {
  wire::ExecRequest wanted;
  Plan plan;
  if (!packet->Read(&wanted) || packet->fd_count() < 1)
    return SendError(connection, -1, EBADMSG, "exec request");
  Container* container = FindOrRefuse(connection, wanted.container_id);
  if (container == nullptr) return;
  if (container->state != Container::State::kRunning)
    return SendError(connection, -1, ESRCH, "exec");
  if (!plan.Map(packet->fds()[0])) return SendError(connection, -1, errno, "read plan");
  Exec* exec = Make<Exec>();
  if (exec == nullptr) return SendError(connection, -1, ENOMEM, "exec");
  exec->pod = this;
  exec->container = container;
  exec->requester = connection;
  snprintf(exec->leaf_name, sizeof(exec->leaf_name), "exec-%u", ++exec_count_);
  exec->next = execs_;
  execs_ = exec;

  const char* call = "make exec cgroup";
  ChildRequest request = {
      .plan = &plan, .fds = packet->fds() + 1, .fd_count = packet->fd_count() - 1};
  request.pid_namespace = container->pidfd;
  request.own_pid_namespace = own_pid_namespace_;
  request.container = container->pidfd;
  bool ready = mkdirat(container->cgroup, exec->leaf_name, 0755) == 0;
  if (ready) {
    exec->leaf = openat(container->cgroup, exec->leaf_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ready = exec->leaf >= 0;
  }
  if (ready && container->unified) request.clone_into_cgroup = exec->leaf;
  if (ready && !container->unified) {
    request.leaf_tasks = openat(exec->leaf, "tasks", O_WRONLY | O_CLOEXEC);
    ready = request.leaf_tasks >= 0;
  }
  Child child;
  ready = ready && StartChild(request, &child, &call);
  const int error = errno;
  CloseFd(&request.leaf_tasks);
  if (!ready) {
    SendError(connection, -1, error, call);
    exec->exited = true;
    exec->requester = -1;
    return RemoveLeaf(exec);
  }
  close(child.pidfd);
  exec->pid = child.pid;
  exec->channel = child.channel;
  exec->channel_handler = {[](void* owner, int) {
                             auto* self = static_cast<Exec*>(owner);
                             self->pod->ExecChannelReady(self);
                           },
                           exec, 0};
  loop_->Add(exec->channel, &exec->channel_handler);
  exec->deadline = {.fire =
                        [](void* owner) {
                          auto* self = static_cast<Exec*>(owner);
                          self->timed_out = true;
                          KillCgroup(self->leaf);
                        },
                    .owner = exec};
  if (wanted.timeout_ms != 0) loop_->Arm(&exec->deadline, wanted.timeout_ms);
}

void Pod::ExecChannelReady(Exec* exec) {
  char data[sizeof(wire::Header) + sizeof(wire::ErrorReply)];
  const ssize_t n = recv(exec->channel, data, sizeof(data), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  loop_->Remove(exec->channel);
  CloseFd(&exec->channel);
  if (n == static_cast<ssize_t>(sizeof(data))) {
    exec->failed_start = true;
    memcpy(&exec->failure, data + sizeof(wire::Header), sizeof(exec->failure));
    return;
  }
  if (exec->requester >= 0)
    Send(exec->requester, wire::Type::kStarted, wire::StartedReply{.pid = exec->pid});
}

void Pod::ExecExited(Exec* exec, int status) {
  if (exec->channel >= 0) ExecChannelReady(exec);
  exec->exited = true;
  loop_->Disarm(&exec->deadline);
  if (exec->failed_start && exec->requester >= 0) {
    Send(exec->requester, wire::Type::kError, exec->failure);
    exec->requester = -1;
  }
  if (exec->requester >= 0) {
    wire::ExitEvent event = {
        .exit_code = ExitCode(status),
        .flags = exec->timed_out ? static_cast<uint32_t>(wire::kExitTimeout) : 0,
        .finished_at = WallNanoseconds()};
    memcpy(event.container_id, exec->container->id, wire::kIdBytes);
    Send(exec->requester, wire::Type::kExit, event);
    // What it left behind lives until the connection closes: its output may still be read.
    return;
  }
  RemoveLeaf(exec);
}

// Kills what is left of the exec and removes its cgroup, which is busy until the last of it is
// dead.
void Pod::RemoveLeaf(Exec* exec) {
  if (exec->leaf >= 0) KillCgroup(exec->leaf);
  if (exec->leaf < 0 || unlinkat(exec->container->cgroup, exec->leaf_name, AT_REMOVEDIR) == 0 ||
      errno != EBUSY || ++exec->reap_tries > kLeafTries) {
    return RemoveExec(exec);
  }
  exec->reap_leaf = {.fire =
                         [](void* owner) {
                           auto* self = static_cast<Exec*>(owner);
                           self->pod->RemoveLeaf(self);
                         },
                     .owner = exec};
  loop_->Arm(&exec->reap_leaf, kLeafRetryMs);
}

void Pod::RemoveExec(Exec* exec) {
  loop_->Disarm(&exec->deadline);
  loop_->Disarm(&exec->reap_leaf);
  if (exec->channel >= 0) loop_->Remove(exec->channel);
  CloseFd(&exec->channel);
  CloseFd(&exec->leaf);
  Unlink(&execs_, exec);
  Destroy(exec);
}

void Pod::Stop(int connection, const Packet& packet) {
  wire::StopRequest stop;
  if (!packet.Read(&stop)) return SendError(connection, -1, EBADMSG, "stop request");
  Container* container = FindOrRefuse(connection, stop.container_id);
  if (container == nullptr) return;
  SendOk(connection);
  if (container->pid < 0) return;
  if (stop.timeout_ms == 0) {
    container->stop_requested = true;
    KillAll(container);
    loop_->Arm(&container->stop_timer, 1000);
    return;
  }
  // The signal goes out once; a later call can only bring the deadline nearer.
  if (!container->stop_requested) kill(container->pid, stop.signal);
  const int64_t deadline = BootMilliseconds() + stop.timeout_ms;
  if (!container->stop_requested || deadline < container->stop_timer.at_ms) {
    loop_->Arm(&container->stop_timer, stop.timeout_ms);
  }
  container->stop_requested = true;
}

void Pod::ReopenLog(int connection, Packet* packet) {
  wire::ContainerRequest request;
  if (!packet->Read(&request) || packet->fd_count() != 1)
    return SendError(connection, -1, EBADMSG, "reopen request");
  Container* container = FindOrRefuse(connection, request.container_id);
  if (container == nullptr) return;
  container->log.Flush();
  container->log.SetFile(packet->TakeFd(0));
  SendOk(connection);
}

void Pod::Resize(int connection, const Packet& packet) {
  wire::ResizeRequest request;
  if (!packet.Read(&request)) return SendError(connection, -1, EBADMSG, "resize request");
  Container* container = FindOrRefuse(connection, request.container_id);
  if (container == nullptr) return;
  const winsize size = {.ws_row = request.rows, .ws_col = request.columns};
  if (!container->terminal || ioctl(container->output[0], TIOCSWINSZ, &size) != 0) {
    return SendError(connection, -1, ENOTTY, "resize");
  }
  SendOk(connection);
}

void Pod::Forget(int connection, const Packet& packet) {
  wire::ContainerRequest request;
  if (!packet.Read(&request)) return SendError(connection, -1, EBADMSG, "forget request");
  Container* container = Find(request.container_id);
  if (container != nullptr && container->state != Container::State::kExited) {
    return SendError(connection, -1, EBUSY, "forget");
  }
  char name[wire::kIdBytes + 8];
  snprintf(name, sizeof(name), "%.*s.exit", wire::kIdBytes, request.container_id);
  unlinkat(state_dir_, name, 0);
  if (container != nullptr) {
    for (Exec* exec = execs_; exec != nullptr;) {
      Exec* next = exec->next;
      if (exec->container == container) RemoveExec(exec);
      exec = next;
    }
    Unlink(&containers_, container);
    Discard(container);
  }
  SendOk(connection);
}

void Pod::Watch(int connection) {
  for (int& watcher : watchers_) {
    if (watcher >= 0) continue;
    watcher = connection;
    for (const Container* container = containers_; container != nullptr;
         container = container->next) {
      if (container->state == Container::State::kExited) {
        Send(connection, wire::Type::kExit, container->exit);
      } else {
        wire::RunningEvent running = {.container_id = {}, .pid = container->pid};
        memcpy(running.container_id, container->id, wire::kIdBytes);
        Send(connection, wire::Type::kRunning, running);
      }
    }
    return SendOk(connection);
  }
  SendError(connection, -1, EAGAIN, "watch");
}

void Pod::Shutdown(int connection) {
  for (Container* container = containers_; container != nullptr; container = container->next)
    KillAll(container);
  if (init_pid_ > 0) kill(init_pid_, SIGKILL);
  SendOk(connection);
  loop_->Stop();
}

void Pod::ConnectionClosed(int connection) {
  for (int& watcher : watchers_) {
    if (watcher == connection) watcher = -1;
  }
  for (Container* container = containers_; container != nullptr; container = container->next) {
    if (container->requester == connection) container->requester = -1;
  }
  for (Exec* exec = execs_; exec != nullptr;) {
    Exec* next = exec->next;
    if (exec->requester == connection) {
      exec->requester = -1;
      if (exec->exited) {
        RemoveLeaf(exec);
      } else if (exec->leaf >= 0) {
        KillCgroup(exec->leaf);
      }
    }
    exec = next;
  }
}

}  // namespace berth::monitor
