// The pod: its containers and execs, from their start to their exit record. The monitor's one
// state.
#pragma once

#include <sys/types.h>

#include "src/runtime/monitor/channel.h"
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
  bool asking = false;       // the child waits for the requester's kHooksDone
  bool moving = false;       // the plan goes on in another process (kEnterUserNamespace)
  bool launcher = false;     // `pid` is an OCI runtime's until that has ended
  int pid_dir = -1;          // with launcher: where its "pid" file is
  int console = -1;          // with launcher and terminal: the runtime's console socket
  int stdin_write = -1;      // the other end of its stdin
  int output[2] = {-1, -1};  // read ends of stdout and stderr, or the terminal's master in [0]
  bool terminal = false;
  LogWriter log;
  wire::ExitEvent exit = {};
  Handler channel_handler, output_handler[2], console_handler;
  Timer stop_timer, drain_timer;
};

struct Exec {
  Pod* pod = nullptr;
  Exec* next = nullptr;
  Container* container = nullptr;  // null: outside of any
  char id[wire::kIdBytes];         // as it was asked for
  pid_t pid = -1;
  int channel = -1;
  int requester = -1;
  int leaf = -1;  // its cgroup; none outside of a container
  char leaf_name[24];
  bool exited = false, timed_out = false, failed_start = false, asking = false;
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
  // The answer to kHooksDue or kSeccompListener.
  void HooksDone(int connection, const Packet& packet);
  void Watch(int connection);
  void Shutdown(int connection);

  // The connection is gone: its execs are killed, its watches end.
  void ConnectionClosed(int connection);
  // After SIGCHLD: reaps all that has ended.
  void Reap();

  int pod_init_pid() const { return init_pid_; }
  int user_namespace() const { return user_namespace_; }  // -1: the node's

 private:
  static constexpr int kMaxWatchers = 8;

  Container* Find(const char* id);
  // Answers kError ENOENT and returns null for an unknown id.
  Container* FindOrRefuse(int connection, const char* id);
  bool OpenPipes(Container* container, bool with_stdin, ChildRequest* request);
  bool OpenPipe(int* ends);
  // False after the requester was told.
  bool SetNamespaces(int connection, const wire::StartRequest& start, ChildRequest* request);
  void SetHandlers(Container* container);
  // One message of a child's channel. False if there was none.
  bool ChannelReady(Container* container);
  bool ExecChannelReady(Exec* exec);
  void ChildAsks(Container* container, ChannelEvent* event);
  void Relay(int channel, int requester, bool* asking, pid_t pid, ChannelEvent* event);
  void ChannelEnded(Container* container);
  void Started(Container* container);
  void FailStart(Container* container);
  bool OpenConsole(Container* container);
  void ConsoleReady(Container* container);
  void CloseConsole(Container* container);
  void LauncherExited(Container* container, int status);
  bool KnowsProcess(pid_t pid) const;
  void SettleStarts();
  void ReadChannels(pid_t pid);
  void KillExec(const Exec& exec);
  void OutputReady(Container* container, int which);
  void CloseOutput(Container* container, int which);
  void Exited(Container* container, int status);
  void ExecExited(Exec* exec, int status);
  void FinishExit(Container* container);
  void Announce(const Container& container);
  void Tell(int* watcher, wire::Type type, const void* payload, size_t bytes);
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
  int user_namespace_ = -1;
  uid_t root_uid_ = 0;  // what the user namespace's root is outside
  gid_t root_gid_ = 0;
  unsigned exec_count_ = 0;
  Container* containers_ = nullptr;
  Exec* execs_ = nullptr;
  int watchers_[kMaxWatchers] = {-1, -1, -1, -1, -1, -1, -1, -1};
};

}  // namespace berth::monitor
