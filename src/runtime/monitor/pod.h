// The pod: its containers and execs, from their start to their exit record. The monitor's one
// state.
#pragma once

#include <sys/types.h>

#include "src/runtime/monitor/child.h"
#include "src/runtime/monitor/log_writer.h"
#include "src/runtime/monitor/loop.h"
#include "src/runtime/monitor/packet.h"

namespace berth::monitor {

class Pod;

struct Container {
  Pod* pod = nullptr;
  Container* next = nullptr;
  char id[wire::kIdBytes];
  enum class State { kStarting, kRunning, kDraining, kExited } state = State::kStarting;
  pid_t pid = -1;
  int pidfd = -1, channel = -1;
  int cgroup = -1, memory_cgroup = -1;
  bool unified = false;
  bool failed_start = false;
  wire::ErrorReply failure = {};
  bool stop_requested = false;
  int requester = -1;        // connection that waits for kStarted; -1 once told or gone
  int output[2] = {-1, -1};  // read ends of stdout and stderr, or the terminal's master in [0]
  bool terminal = false;
  LogWriter log;
  wire::ExitEvent exit = {};
  Handler channel_handler, output_handler[2];
  Timer stop_timer, drain_timer;
};

struct Exec {
  Pod* pod = nullptr;
  Exec* next = nullptr;
  Container* container = nullptr;
  pid_t pid = -1;
  int channel = -1;
  int requester = -1;
  int leaf = -1;  // its cgroup
  char leaf_name[24];
  bool exited = false, timed_out = false, failed_start = false;
  wire::ErrorReply failure = {};
  Handler channel_handler;
  Timer deadline, reap_leaf;
  int reap_tries = 0;
};

class Pod {
 public:
  Pod(Loop* loop, int state_dir) : loop_(loop), state_dir_(state_dir) {}

  // Runs the pod's own plan on this process, and starts the pod's init if there is to be one.
  // False after *failed is filled.
  bool SetUp(const Plan& plan, const int* fds, int fd_count, bool pod_pid_namespace,
             wire::ErrorReply* failed);

  void Start(int connection, Packet* packet);
  void StartExec(int connection, Packet* packet);
  void Stop(int connection, const Packet& packet);
  void ReopenLog(int connection, Packet* packet);
  void Resize(int connection, const Packet& packet);
  void Forget(int connection, const Packet& packet);
  void Watch(int connection);
  void Shutdown(int connection);

  // The connection is gone: its execs are killed, its watches end.
  void ConnectionClosed(int connection);
  // After SIGCHLD: reaps all that has ended.
  void Reap();

  int pod_init_pid() const { return init_pid_; }

 private:
  static constexpr int kMaxWatchers = 8;

  Container* Find(const char* id);
  // Answers kError ENOENT and returns null for an unknown id.
  Container* FindOrRefuse(int connection, const char* id);
  bool OpenLogPipes(Container* container, ChildRequest* request, int* write_ends);
  void ChannelReady(Container* container);
  void ExecChannelReady(Exec* exec);
  void OutputReady(Container* container, int which);
  void CloseOutput(Container* container, int which);
  void Exited(Container* container, int status);
  void ExecExited(Exec* exec, int status);
  void FinishExit(Container* container);
  void Announce(const Container& container);
  void KillAll(Container* container);
  void RemoveExec(Exec* exec);
  void RemoveLeaf(Exec* exec);
  void Discard(Container* container);
  bool WriteExitRecord(const Container& container);

  Loop* loop_;
  int state_dir_;
  int own_pid_namespace_ = -1;
  int init_pidfd_ = -1;
  pid_t init_pid_ = 0;
  unsigned exec_count_ = 0;
  Container* containers_ = nullptr;
  Exec* execs_ = nullptr;
  int watchers_[kMaxWatchers] = {-1, -1, -1, -1, -1, -1, -1, -1};
};

}  // namespace berth::monitor
