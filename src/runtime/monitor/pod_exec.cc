// Execs: processes in a running container, each in a leaf cgroup of its own; and commands outside
// of any container.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "src/runtime/monitor/cgroup.h"
#include "src/runtime/monitor/objects.h"
#include "src/runtime/monitor/pod.h"

namespace berth::monitor {
namespace {

constexpr int64_t kLeafRetryMs = 5;
constexpr int kLeafTries = 400;

int ExitCode(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// The exec's leaf below the container's cgroup, and the container's pid namespace. False with
// errno.
bool EnterLeaf(const Container& container, Exec* exec, ChildRequest* request,
               int own_pid_namespace) {
  request->pid_namespace = container.pidfd;
  request->own_pid_namespace = own_pid_namespace;
  request->container = container.pidfd;
  if (mkdirat(container.cgroup, exec->leaf_name, 0755) != 0) return false;
  exec->leaf = openat(container.cgroup, exec->leaf_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (exec->leaf < 0) return false;
  if (container.unified) {
    request->clone_into_cgroup = exec->leaf;
    return true;
  }
  request->leaf_tasks = openat(exec->leaf, "tasks", O_WRONLY | O_CLOEXEC);
  return request->leaf_tasks >= 0;
}

}  // namespace

void Pod::StartExec(int connection, Packet* packet) {
  wire::ExecRequest wanted;
  Plan plan;
  if (!packet->Read(&wanted) || packet->fd_count() < 1)
    return SendError(connection, -1, EBADMSG, "exec request");
  const bool outside = (wanted.flags & wire::kOutsideContainer) != 0;
  Container* container = outside ? nullptr : FindOrRefuse(connection, wanted.container_id);
  if (!outside && container == nullptr) return;
  if (!outside && container->state != Container::State::kRunning)
    return SendError(connection, -1, ESRCH, "exec");
  if (!plan.Map(packet->fds()[0])) return SendError(connection, -1, errno, "read plan");
  Exec* exec = Make<Exec>();
  if (exec == nullptr) return SendError(connection, -1, ENOMEM, "exec");
  exec->pod = this;
  exec->container = container;
  memcpy(exec->id, wanted.container_id, sizeof(exec->id));
  exec->requester = connection;
  snprintf(exec->leaf_name, sizeof(exec->leaf_name), "exec-%u", ++exec_count_);
  exec->next = execs_;
  execs_ = exec;

  // The requester's pipes are to be opened again by the processes of the user namespace.
  for (int i = 1; root_uid_ != 0 && i < packet->fd_count(); ++i) {
    struct stat info;
    if (fstat(packet->fds()[i], &info) == 0 && S_ISFIFO(info.st_mode))
      (void)!fchown(packet->fds()[i], root_uid_, root_gid_);
  }
  const char* call = "make exec cgroup";
  ChildRequest request = {
      .plan = &plan, .fds = packet->fds() + 1, .fd_count = packet->fd_count() - 1};
  const bool entered = outside || EnterLeaf(*container, exec, &request, own_pid_namespace_);
  Child child;
  const bool ready = entered && StartChild(request, &child, &call);
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
                          self->pod->KillExec(*self);
                        },
                    .owner = exec};
  if (wanted.timeout_ms != 0) loop_->Arm(&exec->deadline, wanted.timeout_ms);
}

bool Pod::ExecChannelReady(Exec* exec) {
  ChannelEvent event;
  ReceiveChannel(exec->channel, &event);
  if (event.kind == ChannelEvent::Kind::kNothing) return false;
  if (event.kind == ChannelEvent::Kind::kMessage) {
    Relay(exec->channel, exec->requester, &exec->asking, exec->pid, &event);
    return true;
  }
  loop_->Remove(exec->channel);
  CloseFd(&exec->channel);
  if (event.kind == ChannelEvent::Kind::kFailure) {
    exec->failed_start = true;
    memcpy(&exec->failure, event.failure, sizeof(exec->failure));
  } else if (!HasExeced(exec->pid)) {
    exec->failed_start = true;  // and how it ended will say why
  } else if (exec->requester >= 0) {
    Send(exec->requester, wire::Type::kStarted, wire::StartedReply{.pid = exec->pid});
  }
  return true;
}

// Outside of a container there is no cgroup: what the command has started is on its own.
void Pod::KillExec(const Exec& exec) {
  if (exec.leaf >= 0) {
    KillCgroup(exec.leaf);
  } else if (exec.pid > 0 && !exec.exited) {
    kill(exec.pid, SIGKILL);
  }
}

void Pod::ExecExited(Exec* exec, int status) {
  exec->exited = true;
  loop_->Disarm(&exec->deadline);
  if (exec->failed_start && exec->requester >= 0) {
    if (exec->failure.call[0] == '\0') exec->failure = SilentFailure(status);
    Send(exec->requester, wire::Type::kError, exec->failure);
    exec->requester = -1;
  }
  if (exec->requester >= 0) {
    wire::ExitEvent event = {
        .exit_code = ExitCode(status),
        .flags = exec->timed_out ? static_cast<uint32_t>(wire::kExitTimeout) : 0,
        .finished_at = WallNanoseconds()};
    memcpy(event.container_id, exec->id, wire::kIdBytes);
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

}  // namespace berth::monitor
