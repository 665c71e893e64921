// A process of the monitor's that clones the processes of execs in its place. What it clones shares
// its memory until the exec (CLONE_VM | CLONE_VFORK): no page table is copied and no page is
// faulted in again, which takes longer than all else of a small exec. The monitor must not share
// its own: with a process that the kernel kills for memory it kills all that share it
// (__oom_kill_process, mm/oom_kill.c), and the steps of a plan may wait. What is cloned is the
// monitor's child (CLONE_PARENT); descriptors are the monitor's own (CLONE_FILES).
#pragma once

#include <sys/types.h>

#include "src/runtime/monitor/child.h"
#include "src/runtime/monitor/plan.h"
#include "src/runtime/monitor_protocol.h"

namespace berth::monitor {

class Zygote {
 public:
  // Makes the process unless there is one; without one Ready stays false.
  void Start();
  // Kills it and reaps it: it does nothing more.
  void End();
  bool Is(pid_t pid) const { return pid == pid_; }
  // It has been reaped.
  void Forget();

  // There is one, and what it was given last is through.
  bool Ready() const;
  // Where it sees a plan, with room for wire::kPlanInMessageMaxBytes; while Ready.
  char* plan_room() const;
  // Reads the plan in `fd` to there. 0: it is too large for it, or cannot be read.
  size_t Read(int fd);
  // The plan of `bytes` that is there now, for one Begin. False: not a plan that it can take.
  bool Take(size_t bytes, Plan* plan);
  // Has the process cloned that `request` (with a plan of Read, without channel, log, stdin and
  // clone_flags) describes. Its descriptors stay open until Ready or until child() has ended.
  void Begin(const ChildRequest& request);
  // What was given last: for whoever begins it instead of a zygote that ended before it could.
  // Points into memory that Forget gives back. False: not a plan.
  bool Last(Plan* plan, ChildRequest* request) const;
  // What became of it: the process, -1 as long as there is none, and what failed (an empty call:
  // nothing so far). After a clone that fails the monitor gets a SIGCHLD without a child.
  pid_t child() const;
  const wire::ErrorReply& failure() const;

 private:
  struct Shared;

  pid_t pid_ = -1;
  Shared* shared_ = nullptr;
};

}  // namespace berth::monitor
