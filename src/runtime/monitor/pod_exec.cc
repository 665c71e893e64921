// Execs: processes in a running container, each in a leaf cgroup of its own; and commands outside
// of any container.
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "src/base/failpoint.h"
#include "src/runtime/monitor/cgroup.h"
#include "src/runtime/monitor/objects.h"
#include "src/runtime/monitor/pod.h"

namespace berth::monitor {
namespace {

constexpr int64_t kLeafRetryMs = 5;
constexpr int kLeafTries = 400;
constexpr int64_t kSpareLeafMs = 60000;
constexpr int64_t kZygoteMs = 60000;
constexpr int64_t kLeafMostMs = 10000;  // between looks at what a session has left running
// A process that cannot die (frozen, or waiting for a device) does not hold the answer for longer.
constexpr int64_t kKilledMs = 100, kKillAgainMs = 1000;
constexpr int64_t kHangUpMs = 10000;  // from the end of a session to SIGKILL

// Of plans without a zygote. Its pages are there only while it holds one.
alignas(4096) char plan_room[wire::kPlanInMessageMaxBytes];

int ExitCode(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// Whether the child will ask for something before its exec.
bool Asks(const Plan& plan) {
  const char* at = plan.begin();
  for (uint32_t i = 0; i < plan.step_count(); ++i) {
    const Step step(at);
    if (step.op() == wire::Op::kAskHooks) return true;
    if (step.op() == wire::Op::kSeccomp && (step.a() & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0)
      return true;
    at += step.bytes();
  }
  return false;
}

}  // namespace

// The exec's leaf below the container's cgroup, and the container's pid namespace. False with
// errno.
bool Pod::EnterLeaf(Exec* exec, ChildRequest* request) {
  Container& container = *exec->container;
  request->pid_namespace = container.pidfd;
  request->own_pid_namespace = own_pid_namespace_;
  request->container = container.pidfd;
  request->tasks = container.tasks;
  request->task_count = container.task_count;
  request->proc = proc_;
  if (container.spare_leaf >= 0) {
    exec->leaf = container.spare_leaf;
    exec->leaf_processes = container.spare_processes;
    exec->leaf_reused = true;
    memcpy(exec->leaf_name, container.spare_name, sizeof(exec->leaf_name));
    container.spare_leaf = container.spare_processes = -1;
    loop_->Disarm(&container.spare_timer);
  } else {
    if (mkdirat(container.cgroup, exec->leaf_name, 0755) != 0) return false;
    exec->leaf = openat(container.cgroup, exec->leaf_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (exec->leaf < 0) return false;
  }
  if (container.unified) {
    request->clone_into_cgroup = exec->leaf;
    return true;
  }
  request->leaf_tasks = openat(exec->leaf, "tasks", O_WRONLY | O_CLOEXEC);
  return request->leaf_tasks >= 0;
}

// False if there is something in the leaf, or another one is kept. What is cloned into a cgroup
// that was once killed by its cgroup.kill, Linux 6.18 kills as well (kill_seq in
// kernel/cgroup/cgroup.c).
bool Pod::KeepLeaf(Exec* exec) {
  Container* container = exec->container;
  if (exec->leaf < 0 || exec->leaf_killed || container->state != Container::State::kRunning ||
      container->spare_leaf >= 0 ||
      !CgroupIsEmpty(exec->leaf, container->unified ? &exec->leaf_processes : nullptr))
    return false;
  container->spare_leaf = exec->leaf;
  container->spare_processes = exec->leaf_processes;
  memcpy(container->spare_name, exec->leaf_name, sizeof(container->spare_name));
  exec->leaf = exec->leaf_processes = -1;
  container->spare_timer = {.fire =
                                [](void* owner) {
                                  auto* self = static_cast<Container*>(owner);
                                  self->pod->RemoveSpareLeaf(self);
                                },
                            .owner = container};
  loop_->Arm(&container->spare_timer, kSpareLeafMs);
  return true;
}

// For the next of execs that come one after the other: a zygote takes longer to make than the
// process of one exec.
void Pod::KeepZygote(const Exec& exec) {
  if (!exec.leaf_reused || exec.session) return;
  zygote_.Start();
  zygote_timer_.fire = [](void* owner) { static_cast<Pod*>(owner)->ReleaseZygote(); };
  zygote_timer_.owner = this;
  loop_->Arm(&zygote_timer_, kZygoteMs);
}

void Pod::ReleaseZygote() {
  SettleCloned();
  if (cloned_ == nullptr) return EndZygote();
  loop_->Arm(&zygote_timer_, kZygoteMs);
}

void Pod::EndZygote() {
  zygote_.End();
  ZygoteEnded();
}

void Pod::SettleCloned() {
  if (cloned_ == nullptr) return;
  if (cloned_->pid < 0) cloned_->pid = zygote_.child();
  if (zygote_.Ready()) TakeCloned();
}

void Pod::TakeCloned() {
  Exec* exec = cloned_;
  cloned_ = nullptr;
  for (int& fd : exec->held) CloseFd(&fd);
  exec->failure = zygote_.failure();
  exec->failed_start = exec->failure.call[0] != '\0';
  if (exec->pid > 0) {
    if (exec->leaf_killed) KillExec(exec);  // it may have come into it after that
    return;
  }
  if (exec->requester >= 0) Send(exec->requester, wire::Type::kError, exec->failure);
  NeverRan(exec);
}

void Pod::NeverRan(Exec* exec) {
  exec->requester = -1;
  exec->exited = true;
  RemoveLeaf(exec);
}

// False if nothing was forked: `call` failed with `error`.
bool Pod::TakeForked(Exec* exec, const Child* child, const char* call, int error) {
  if (child == nullptr) {
    if (exec->requester >= 0) SendError(exec->requester, -1, error, call);
    NeverRan(exec);
    return false;
  }
  close(child->pidfd);
  exec->pid = child->pid;
  exec->channel = child->channel;
  return true;
}

// Of an exec that the zygote did not live to clone.
void Pod::ForkCloned() {
  Exec* exec = cloned_;
  cloned_ = nullptr;
  exec->by_zygote = false;
  Plan plan;
  ChildRequest request;
  Child child;
  const char* call = "read plan";
  const bool ready = zygote_.Last(&plan, &request) && StartChild(request, &child, &call);
  const int error = errno;
  for (int& fd : exec->held) CloseFd(&fd);
  if (TakeForked(exec, ready ? &child : nullptr, call, error) && exec->leaf_killed) KillExec(exec);
}

void Pod::ZygoteEnded() {
  loop_->Disarm(&zygote_timer_);
  SettleCloned();
  if (cloned_ != nullptr && (cloned_->pid > 0 || zygote_.failure().call[0] != '\0')) {
    TakeCloned();
  } else if (cloned_ != nullptr) {
    ForkCloned();
  }
  zygote_.Forget();
}

void Pod::RemoveSpareLeaf(Container* container) {
  loop_->Disarm(&container->spare_timer);
  if (container->spare_leaf < 0) return;
  CloseFd(&container->spare_leaf);
  CloseFd(&container->spare_processes);
  unlinkat(container->cgroup, container->spare_name, AT_REMOVEDIR);
}

char* Pod::PlanRoom() {
  SettleCloned();
  return zygote_.Ready() ? zygote_.plan_room() : plan_room;
}

bool Pod::PlanForZygote(const Packet& packet, Plan* plan) {
  SettleCloned();
  if (!zygote_.Ready()) return false;
  if (packet.plan() != nullptr && packet.plan() != zygote_.plan_room()) return false;
  const size_t bytes =
      packet.plan() != nullptr ? packet.plan_bytes() : zygote_.Read(packet.fds()[0]);
  return zygote_.Take(bytes, plan) && !Asks(*plan);
}

// False with errno.
bool Pod::PlanForFork(const Packet& packet, Plan* plan) {
  if (packet.plan() == nullptr) return plan->Map(packet.fds()[0]);
  // The zygote may get another one while the forked process still runs this one.
  if (packet.plan() != plan_room) memcpy(plan_room, packet.plan(), packet.plan_bytes());
  return plan->View(plan_room, packet.plan_bytes());
}

// Once it has been forked: the child has its own.
void Pod::ReleasePlan(const Packet& packet) {
  if (packet.plan() != nullptr) madvise(plan_room, sizeof(plan_room), MADV_DONTNEED);
}

void Pod::StartExec(int connection, Packet* packet) {
  wire::ExecRequest wanted;
  Plan plan;
  const int first = packet->plan() != nullptr ? 0 : 1;  // of the descriptors that the plan names
  if (!packet->Read(&wanted) || packet->fd_count() < first)
    return SendError(connection, -1, EBADMSG, "exec request");
  const bool outside = (wanted.flags & wire::kOutsideContainer) != 0;
  Container* container = outside ? nullptr : FindOrRefuse(connection, wanted.container_id);
  if (!outside && container == nullptr) return;
  if (!outside && container->state != Container::State::kRunning)
    return SendError(connection, -1, ESRCH, "exec");
  const bool session = packet->type() == wire::Type::kExecSession;
  const bool by_zygote =
      !outside && !session && packet->fd_count() == first + 2 && PlanForZygote(*packet, &plan);
  if (!by_zygote && !PlanForFork(*packet, &plan))
    return SendError(connection, -1, errno, "read plan");
  if (FAULT("monitor.exec")) return SendError(connection, -1, errno, "exec");
  Exec* exec = Make<Exec>();
  if (exec == nullptr) return SendError(connection, -1, ENOMEM, "exec");
  exec->pod = this;
  exec->container = container;
  memcpy(exec->id, wanted.container_id, sizeof(exec->id));
  exec->requester = connection;
  exec->session = session;
  exec->terminal = exec->session && (wanted.flags & wire::kTerminalFlag) != 0;
  snprintf(exec->leaf_name, sizeof(exec->leaf_name), "exec-%u", ++exec_count_);
  exec->next = execs_;
  execs_ = exec;

  // The requester's pipes are to be opened again by the processes of the user namespace.
  for (int i = first; root_uid_ != 0 && i < packet->fd_count(); ++i) {
    struct stat info;
    if (fstat(packet->fds()[i], &info) == 0 && S_ISFIFO(info.st_mode))
      (void)!fchown(packet->fds()[i], root_uid_, root_gid_);
  }
  const char* call = "make exec cgroup";
  ChildRequest request = {
      .plan = &plan, .fds = packet->fds() + first, .fd_count = packet->fd_count() - first};
  const bool entered = outside || EnterLeaf(exec, &request);
  Child child;
  if (entered && by_zygote) {
    CloneByZygote(exec, packet, first, request);
    return ArmDeadline(exec, wanted.timeout_ms);
  }
  const bool ready = entered && StartChild(request, &child, &call);
  const int error = errno;
  CloseFd(&request.leaf_tasks);
  ReleasePlan(*packet);
  if (!TakeForked(exec, ready ? &child : nullptr, call, error)) return;
  exec->channel_handler = {[](void* owner, int) {
                             auto* self = static_cast<Exec*>(owner);
                             self->pod->ExecChannelReady(self);
                           },
                           exec, 0};
  // Of another one it is enough to know at its end how it began.
  exec->watched =
      (exec->session || Asks(plan)) && loop_->Add(exec->channel, &exec->channel_handler);
  ArmDeadline(exec, wanted.timeout_ms);
}

void Pod::CloneByZygote(Exec* exec, Packet* packet, int first, const ChildRequest& request) {
  exec->by_zygote = true;
  zygote_.Begin(request);
  exec->held[0] = packet->TakeFd(first);
  exec->held[1] = packet->TakeFd(first + 1);
  exec->held[2] = request.leaf_tasks;
  cloned_ = exec;
}

void Pod::ArmDeadline(Exec* exec, uint32_t timeout_ms) {
  exec->deadline = {.fire =
                        [](void* owner) {
                          auto* self = static_cast<Exec*>(owner);
                          self->pod->ExecTimedOut(self);
                        },
                    .owner = exec};
  if (timeout_ms != 0) loop_->Arm(&exec->deadline, timeout_ms);
}

bool Pod::ExecChannelReady(Exec* exec, bool succeeded) {
  ChannelEvent event;
  ReceiveChannel(exec->channel, &event);
  if (event.kind == ChannelEvent::Kind::kNothing) return false;
  if (event.kind == ChannelEvent::Kind::kMessage && exec->terminal && exec->master < 0 &&
      event.message.tag == ChannelTag::kTerminal) {
    exec->master = event.fd;
    return true;
  }
  if (event.kind == ChannelEvent::Kind::kMessage) {
    Relay(exec->channel, exec->requester, &exec->asking, exec->pid, &event);
    return true;
  }
  if (exec->watched) loop_->Remove(exec->channel);
  CloseFd(&exec->channel);
  if (event.kind == ChannelEvent::Kind::kFailure) {
    exec->failed_start = true;
    memcpy(&exec->failure, event.failure, sizeof(exec->failure));
  } else if (!succeeded && !HasExeced(exec->pid)) {
    exec->failed_start = true;  // and how it ended will say why
  } else if (exec->session && exec->requester >= 0) {
    const wire::StartedReply reply = {.pid = exec->pid};
    Send(exec->requester, wire::Type::kStarted, &reply, sizeof(reply), &exec->master,
         exec->master >= 0 ? 1 : 0);
  }
  CloseFd(&exec->master);  // whoever has it now hangs up by closing it
  return true;
}

// Outside of a container there is no cgroup: what the command has started is on its own.
void Pod::KillExec(Exec* exec) {
  if (exec->leaf >= 0) KillLeaf(exec);
  // Not yet in its leaf, which is cgroup v1's and which it enters itself; or without one.
  if (exec->pid > 0 && !exec->exited) kill(exec->pid, SIGKILL);
}

// Its client has gone. The zygote may clone it after that.
void Pod::GiveUpExec(Exec* exec) {
  KillExec(exec);
  loop_->Arm(&exec->deadline, kKillAgainMs);
}

void Pod::KillLeaf(Exec* exec) {
  exec->leaf_killed = true;
  KillCgroup(exec->leaf);
}

void Pod::ExecTimedOut(Exec* exec) {
  const bool killed_before = exec->timed_out;
  exec->timed_out = true;
  KillExec(exec);
  if (killed_before && exec->requester >= 0) {
    TellExecExit(*exec, 128 + SIGKILL);
    exec->requester = -1;
  }
  loop_->Arm(&exec->deadline, killed_before ? kKillAgainMs : kKilledMs);
}

// The client of a session has gone: as if its terminal had been hung up, and then the end.
void Pod::HangUp(Exec* exec) {
  if (exec->pid > 0) {
    kill(exec->pid, SIGHUP);
    kill(exec->pid, SIGCONT);
  }
  loop_->Arm(&exec->deadline, kHangUpMs);
}

void Pod::TellExecExit(const Exec& exec, int exit_code, uint32_t flags) {
  if (exec.timed_out) flags |= wire::kExitTimeout;
  wire::ExitEvent event = {
      .exit_code = exit_code, .flags = flags, .finished_at = WallNanoseconds()};
  memcpy(event.container_id, exec.id, wire::kIdBytes);
  Send(exec.requester, wire::Type::kExit, event);
}

void Pod::ExecExited(Exec* exec, int status) {
  exec->exited = true;
  loop_->Disarm(&exec->deadline);
  // What its deadline met before it ran (cloned into a frozen cgroup) has timed out all the same.
  if (exec->failed_start && !exec->timed_out && exec->requester >= 0) {
    if (exec->failure.call[0] == '\0') exec->failure = SilentFailure(status);
    Send(exec->requester, wire::Type::kError, exec->failure);
    exec->requester = -1;
  }
  if (exec->requester < 0) return RemoveLeaf(exec);
  if (exec->session) {
    TellExecExit(*exec, ExitCode(status));
    exec->requester = -1;
    return ReleaseLeaf(exec);
  }
  // What an exec left behind lives until its connection closes: its output may still be read.
  if (!KeepLeaf(exec)) return TellExecExit(*exec, ExitCode(status));
  TellExecExit(*exec, ExitCode(status), wire::kExitNothingLeft);
  KeepZygote(*exec);
  RemoveExec(exec);
}

// What the first process of a session has left running goes on, until it ends or the container
// does: its cgroup goes then.
void Pod::ReleaseLeaf(Exec* exec) {
  if (exec->leaf < 0 || KeepLeaf(exec) ||
      unlinkat(exec->container->cgroup, exec->leaf_name, AT_REMOVEDIR) == 0 || errno != EBUSY) {
    return RemoveExec(exec);
  }
  exec->reap_leaf = {.fire =
                         [](void* owner) {
                           auto* self = static_cast<Exec*>(owner);
                           self->pod->ReleaseLeaf(self);
                         },
                     .owner = exec};
  const int64_t wait = kLeafRetryMs << exec->reap_tries;
  if (wait < kLeafMostMs) ++exec->reap_tries;
  loop_->Arm(&exec->reap_leaf, wait < kLeafMostMs ? wait : kLeafMostMs);
}

// Kills what is left of the exec and removes its cgroup, which is busy until the last of it is
// dead.
void Pod::RemoveLeaf(Exec* exec) {
  if (exec->leaf >= 0 && KeepLeaf(exec)) KeepZygote(*exec);
  if (exec->leaf < 0) return RemoveExec(exec);
  KillLeaf(exec);
  if (unlinkat(exec->container->cgroup, exec->leaf_name, AT_REMOVEDIR) == 0 || errno != EBUSY ||
      ++exec->reap_tries > kLeafTries) {
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
  if (exec->watched && exec->channel >= 0) loop_->Remove(exec->channel);
  if (exec == cloned_) cloned_ = nullptr;
  for (int* fd : {&exec->channel, &exec->master, &exec->leaf, &exec->leaf_processes, &exec->held[0],
                  &exec->held[1], &exec->held[2]})
    CloseFd(fd);
  Unlink(&execs_, exec);
  Destroy(exec);
}

}  // namespace berth::monitor
