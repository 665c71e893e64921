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

#include "src/base/failpoint.h"
#include "src/runtime/monitor/cgroup.h"
#include "src/runtime/monitor/objects.h"
#include "src/runtime/monitor/steps_child.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

constexpr int64_t kTellDroppedMs = 1000;

bool SendDropped(const Container& container, int connection) {
  wire::LogDroppedEvent event = {.container_id = {}, .bytes = container.log.dropped_bytes()};
  memcpy(event.container_id, container.id, wire::kIdBytes);
  return Send(connection, wire::Type::kLogDropped, event);
}

// All there is to say of it.
bool SendState(const Container& container, int connection) {
  if (container.state == Container::State::kExited) return SendExit(container, connection);
  return SendRunning(container, connection) &&
         (container.log.dropped_bytes() == 0 || SendDropped(container, connection));
}

}  // namespace

bool SendExit(const Container& container, int connection) {
  return Send(connection, wire::Type::kExit, container.exit);
}

bool SendRunning(const Container& container, int connection) {
  wire::RunningEvent event = {.container_id = {}, .pid = container.pid};
  memcpy(event.container_id, container.id, wire::kIdBytes);
  return Send(connection, wire::Type::kRunning, event);
}

void Pod::Open() {
  own_pid_namespace_ = syscall(SYS_pidfd_open, getpid(), 0);
  proc_ = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

bool Pod::Prepare(const Plan& plan, wire::ErrorReply* failed) {
  StepContext context;
  const StepFailure failure = RunSteps(plan, &context);
  if (failure.error == 0) return true;
  failed->step = -1;
  failed->error = failure.error;
  strncpy(failed->call, failure.call, sizeof(failed->call) - 1);
  return false;
}

bool Pod::SetUp(const Plan& plan, const int* fds, int fd_count, bool pod_pid_namespace,
                wire::ErrorReply* failed) {
  StepContext context;
  context.fds = fds;
  context.fd_count = fd_count;
  StepFailure failure = RunSteps(plan, &context);
  CloseFd(&context.proc);
  user_namespace_ = context.user_namespace;
  root_uid_ = context.root_uid;
  root_gid_ = context.root_gid;
  if (failure.error == 0 && pod_pid_namespace) {
    Child init;
    if (!StartPodInit(user_namespace_, &init, &failure.call)) failure.error = errno;
    init_pid_ = init.pid;
    init_pidfd_ = init.pidfd;
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

void Pod::KillAll(Container* container) {
  if (container->cgroup >= 0) KillCgroup(container->cgroup);
  // Between two processes of a start there is no pid, and kill(-1) would be everybody's death.
  if (container->pid > 0 && (container->state == Container::State::kStarting ||
                             container->state == Container::State::kRunning)) {
    kill(container->pid, SIGKILL);
  }
}

// A watcher that does not read until its buffer is full must not miss an exit without knowing: its
// connection is closed, and the next watch begins with all that there is.
void Pod::HangUp(Watcher* watcher) {
  EndList(watcher);
  shutdown(watcher->connection, SHUT_RDWR);
  watcher->connection = -1;
}

// A list that is being made comes to it, again if it had it already.
void Pod::Tell(Container* container, bool (*send)(const Container& container, int connection)) {
  container->listed = 0;
  for (Watcher& watcher : watchers_) {
    if (watcher.connection < 0 || watcher.listing) continue;
    if (!send(*container, watcher.connection)) HangUp(&watcher);
  }
}

// Watchers hear of it a second later, with all that was dropped until then.
void Pod::CountDropped(Container* container) {
  if (container->log.dropped_bytes() == container->told_dropped || container->dropped_timer.armed)
    return;
  container->dropped_timer = {.fire =
                                  [](void* owner) {
                                    auto* self = static_cast<Container*>(owner);
                                    self->told_dropped = self->log.dropped_bytes();
                                    self->pod->Tell(self, SendDropped);
                                  },
                              .owner = container};
  loop_->Arm(&container->dropped_timer, kTellDroppedMs);
}

void Pod::Discard(Container* container) {
  loop_->Disarm(&container->stop_timer);
  loop_->Disarm(&container->drain_timer);
  loop_->Disarm(&container->dropped_timer);
  CloseConsole(container);
  RemoveSpareLeaf(container);
  for (Flood& flood : container->flood) loop_->Disarm(&flood.look);
  for (int* fd : {&container->channel, &container->output[0], &container->output[1]}) {
    if (*fd >= 0) loop_->Remove(*fd);
    CloseFd(fd);
  }
  CloseFd(&container->stdin_write);
  CloseFd(&container->stdin_read);
  CloseFd(&container->pid_dir);
  CloseFd(&container->pidfd);
  CloseFd(&container->cgroup);
  CloseFd(&container->memory_cgroup);
  for (int i = 0; i < container->task_count; ++i) CloseFd(&container->tasks[i]);
  Destroy(container);
}

void Pod::Stop(int connection, const Packet& packet) {
  wire::StopRequest stop;
  if (!packet.Read(&stop)) return SendError(connection, -1, EBADMSG, "stop request");
  if (FAULT("monitor.stop")) return SendError(connection, -1, errno, "stop");
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
  if (FAULT("monitor.forget")) return SendError(connection, -1, errno, "forget");
  Container* container = Find(request.container_id);
  // It has ended, and only waits for output that something else holds open.
  if (container != nullptr && container->state == Container::State::kDraining)
    FinishExit(container);
  if (container != nullptr && container->state != Container::State::kExited) {
    return SendError(connection, -1, EBUSY, "forget");
  }
  unlinkat(state_dir_, ExitRecordNames(request.container_id).name, 0);
  if (container != nullptr) {
    for (Exec* exec = execs_; exec != nullptr;) {
      Exec* next = exec->next;
      if (exec->container == container) {
        // It is about to die, or cannot; nobody is to wait for that.
        if (exec->requester >= 0 && !exec->exited) TellExecExit(*exec, 128 + SIGKILL);
        RemoveExec(exec);
      }
      exec = next;
    }
    Unlink(&containers_, container);
    Discard(container);
  }
  // Who waited for a start that never came.
  wire::ExitEvent exit = {
      .exit_code = kStartFailed, .flags = wire::kExitFailedStart, .finished_at = WallNanoseconds()};
  memcpy(exit.container_id, request.container_id, wire::kIdBytes);
  EndAttachments(request.container_id, exit);
  SendOk(connection);
}

void Pod::LimitLogs(int connection, const Packet& packet) {
  if (!packet.Read(&log_limits_)) return SendError(connection, -1, EBADMSG, "log limits");
  SendOk(connection);
}

void Pod::HooksDone(int connection, const Packet& packet) {
  wire::HooksDone done;
  if (!packet.Read(&done)) return SendError(connection, -1, EBADMSG, "hooks done");
  const auto answer = [&](int channel, bool* asking) {
    SendChannel(channel, {.tag = ChannelTag::kAnswer, .value = done.error});
    *asking = false;
  };
  for (Container* each = containers_; each != nullptr; each = each->next) {
    if (each->requester == connection && each->asking) return answer(each->channel, &each->asking);
  }
  for (Exec* each = execs_; each != nullptr; each = each->next) {
    if (each->requester == connection && each->asking) return answer(each->channel, &each->asking);
  }
  SendError(connection, -1, EINVAL, "hooks done");
}

void Pod::Watch(int connection) {
  for (int i = 0; i < kMaxWatchers; ++i) {
    Watcher& watcher = watchers_[i];
    if (watcher.connection >= 0) continue;
    watcher.pod = this;
    watcher.connection = connection;
    watcher.bit = 1u << i;
    watcher.listing = true;
    for (Container* container = containers_; container != nullptr; container = container->next)
      container->listed &= ~watcher.bit;
    return List(&watcher);
  }
  SendError(connection, -1, EAGAIN, "watch");
}

void Pod::List(Watcher* watcher) {
  for (Container* container = containers_; container != nullptr; container = container->next) {
    if (container->state == Container::State::kStarting || (container->listed & watcher->bit) != 0)
      continue;
    if (!SendState(*container, watcher->connection)) return AwaitRoom(watcher);
    container->listed |= watcher->bit;
  }
  if (!Send(watcher->connection, wire::Type::kOk, nullptr, 0)) return AwaitRoom(watcher);
  EndList(watcher);
}

// The list may be longer than what the connection holds. The connection itself is in the loop to be
// read from, so that another descriptor waits.
void Pod::AwaitRoom(Watcher* watcher) {
  if (errno != EAGAIN) return HangUp(watcher);
  if (watcher->writer >= 0) return;
  watcher->writer = fcntl(watcher->connection, F_DUPFD_CLOEXEC, 0);
  watcher->writer_handler = {[](void* owner, int) {
                               auto* self = static_cast<Watcher*>(owner);
                               self->pod->List(self);
                             },
                             watcher, 0};
  if (watcher->writer < 0 || !loop_->AddWriter(watcher->writer, &watcher->writer_handler))
    HangUp(watcher);
}

void Pod::EndList(Watcher* watcher) {
  watcher->listing = false;
  if (watcher->writer >= 0) loop_->Remove(watcher->writer);
  CloseFd(&watcher->writer);
}

void Pod::Shutdown(int connection) {
  if (FAULT("monitor.shutdown")) return SendError(connection, -1, errno, "shutdown");
  for (Container* container = containers_; container != nullptr; container = container->next)
    KillAll(container);
  if (init_pid_ > 0) kill(init_pid_, SIGKILL);
  zygote_.End();
  SendOk(connection);
  loop_->Stop();
}

void Pod::ConnectionClosed(int connection) {
  for (Watcher& watcher : watchers_) {
    if (watcher.connection != connection) continue;
    EndList(&watcher);
    watcher.connection = -1;
  }
  for (Container* container = containers_; container != nullptr; container = container->next) {
    if (container->requester != connection) continue;
    if (container->asking)
      SendChannel(container->channel, {.tag = ChannelTag::kAnswer, .value = ECANCELED});
    container->asking = false;
    container->requester = -1;
    // Whoever gave up takes the start for failed: it must not succeed behind their back, and its
    // end is no exit, even if its process has come to its exec by now.
    if (container->state == Container::State::kStarting) {
      container->failed_start = true;
      KillAll(container);
    }
  }
  for (Exec* exec = execs_; exec != nullptr;) {
    Exec* next = exec->next;
    if (exec->requester == connection) {
      exec->requester = -1;
      if (exec->exited) {
        RemoveLeaf(exec);
      } else if (exec->session) {
        HangUp(exec);
      } else {
        GiveUpExec(exec);
      }
    }
    exec = next;
  }
  if (Attachment* attachment = FindAttachment(connection); attachment != nullptr)
    RemoveAttachment(attachment);
  for (Dial* dial = dials_; dial != nullptr;) {
    Dial* next = dial->next;
    if (dial->connection == connection) RemoveDial(dial);
    dial = next;
  }
}

}  // namespace berth::monitor
