// The pod: its containers and execs, from their start to their exit record. The monitor's one
// state.
#pragma once

#include <sys/types.h>

#include "src/runtime/monitor/channel.h"
#include "src/runtime/monitor/child.h"
#include "src/runtime/monitor/log_writer.h"
#include "src/runtime/monitor/loop.h"
#include "src/runtime/monitor/packet.h"
#include "src/runtime/monitor/sink_patience.h"
#include "src/runtime/monitor/zygote.h"

namespace berth::monitor {

class Pod;

inline constexpr int kStartFailed = 128;    // the exit code of what never ran
inline constexpr int kMaxHierarchies = 24;  // of cgroup v1

// Output that comes in so many small writes that it is not waited for but looked at now and then.
struct Flood {
  Timer look;  // armed: the output is not in the loop
  int64_t read_at_ms = 0;
  int quick_reads = 0;   // small ones, each right after the one before
  bool possible = true;  // it is a pipe that may be made larger
};

struct Container {
  Pod* pod = nullptr;
  Container* next = nullptr;
  char id[wire::kIdBytes];
  enum class State { kStarting, kRunning, kDraining, kExited } state = State::kStarting;
  pid_t pid = -1;
  int pidfd = -1, channel = -1;
  int cgroup = -1, memory_cgroup = -1;
  bool awaits_rest = false;    // kStartRest is to come yet
  int tasks[kMaxHierarchies];  // v1: where its processes join its cgroups
  int task_count = 0;
  // An empty leaf for its next exec: making one for each takes longer than /bin/true runs.
  int spare_leaf = -1, spare_processes = -1;
  char spare_name[24];
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
  int stdin_read = -1;       // made by who was attached before the start; until that
  int output[2] = {-1, -1};  // read ends of stdout and stderr, or the terminal's master in [0]
  bool terminal = false;
  bool held[2] = {};         // output that waits for somebody who is attached
  bool stdin_once = false;   // its stdin ends with that of the first who is attached to it
  bool stdin_taken = false;  // with a terminal: somebody was attached with stdin
  LogWriter log;
  wire::ExitEvent exit = {};
  Flood flood[2];
  Handler channel_handler, output_handler[2], console_handler;
  Timer stop_timer, drain_timer, spare_timer, dropped_timer;
  uint64_t told_dropped = 0;
  unsigned listed = 0;  // a bit (Watcher::bit) for each list that has it as it is now
};

struct Exec {
  Pod* pod = nullptr;
  Exec* next = nullptr;
  Container* container = nullptr;  // null: outside of any
  char id[wire::kIdBytes];         // as it was asked for
  pid_t pid = -1;
  int channel = -1;
  int requester = -1;
  int leaf = -1;            // its cgroup; none outside of a container
  int leaf_processes = -1;  // what tells who is in it (CgroupIsEmpty)
  char leaf_name[24];
  bool leaf_killed = false;
  bool leaf_reused = false;
  bool by_zygote = false;
  int held[3] = {-1, -1, -1};  // with by_zygote: what it gets, until it has been cloned
  bool session = false;        // its requester is a session (kExecSession)
  bool terminal = false;
  int master = -1;  // of its terminal, until the requester has it
  bool exited = false, timed_out = false, failed_start = false, asking = false;
  bool watched = false;  // its channel is in the loop
  wire::ErrorReply failure = {};
  Handler channel_handler;
  Timer deadline, reap_leaf;
  int reap_tries = 0;
};

// One who is attached to a container (pod_attach.cc).
struct Attachment {
  // Where one stream of output goes. While it takes nothing the container's output is held.
  struct Sink {
    Attachment* attachment = nullptr;
    int which = 0;
    int fd = -1;
    bool waiting = false;
    SinkPatience patience;
    Handler handler;
    Timer late;  // armed while it is waiting
  };
  Pod* pod = nullptr;
  Attachment* next = nullptr;
  Container* container = nullptr;  // null: it is to be started yet
  char id[wire::kIdBytes];
  int connection = -1;
  bool terminal = false;
  uint16_t rows = 0, columns = 0;
  Sink sinks[2];
  // Of a container that is to be started yet: the ends of its stdin.
  int stdin_read = -1, stdin_write = -1;
  // Of a terminal: the socket that what is typed comes from, and what the terminal has not taken.
  int input = -1;
  char typed[512];
  size_t typed_bytes = 0;
  Handler input_handler;
  Timer retry_input;
};

// A connection that is being made to a port of the pod (pod_forward.cc).
struct Dial {
  Pod* pod = nullptr;
  Dial* next = nullptr;
  int connection = -1;
  wire::ConnectRequest request = {};
  int fd = -1;
  bool ipv6 = false;
  int ipv4_error = 0;
  Handler handler;
  Timer deadline;
};

// To one who watches; false, with errno: it could not be sent.
bool SendExit(const Container& container, int connection);
bool SendRunning(const Container& container, int connection);

// One who is told what becomes of the containers; first of all what is there, as a list.
struct Watcher {
  Pod* pod = nullptr;
  int connection = -1;  // -1: nobody
  unsigned bit = 0;     // its own of Container::listed
  bool listing = false;
  int writer = -1;  // while the list waits for room: the connection, in the loop
  Handler writer_handler;
};

class Pod {
 public:
  Pod(Loop* loop, int state_dir) : loop_(loop), state_dir_(state_dir) {}

  // In the node's minimal mount namespace, before all else.
  void Open();
  // Runs what the pod's plan begins with on this process, before there is a pod. False after
  // *failed is filled.
  bool Prepare(const Plan& plan, wire::ErrorReply* failed);
  // Runs the rest, or all of it, and starts the pod's init if there is to be one. The same.
  bool SetUp(const Plan& plan, const int* fds, int fd_count, bool pod_pid_namespace,
             wire::ErrorReply* failed);

  void Start(int connection, Packet* packet);  // kStart and kStartWithPlan
  // Of the start that `connection` asked for, if it has not failed already.
  void TakeStartRest(int connection, Packet* packet);
  // Where a message is to be received: its plan goes to where it is run from.
  char* PlanRoom();
  void StartExec(int connection, Packet* packet);  // kExec, kExecWithPlan and kExecSession
  void Attach(int connection, const Packet& packet);
  // Of the terminal of the container that `connection` is attached to.
  void ResizeAttached(int connection, const Packet& packet);
  void Connect(int connection, const Packet& packet);
  void LimitLogs(int connection, const Packet& packet);
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
  enum class Pumped { kData, kNothing, kHeld, kEnded };

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
  // `succeeded`: the process has ended with 0.
  bool ExecChannelReady(Exec* exec, bool succeeded = false);
  void ChildAsks(Container* container, ChannelEvent* event);
  void Relay(int channel, int requester, bool* asking, pid_t pid, ChannelEvent* event);
  void CloseChannel(Container* container);
  void ChannelEnded(Container* container);
  void Started(Container* container);
  void FailStart(Container* container);
  void EndFailedStart(Container* container);
  bool OpenConsole(Container* container);
  void ConsoleReady(Container* container);
  void CloseConsole(Container* container);
  void LauncherExited(Container* container, int status);
  bool KnowsProcess(pid_t pid) const;
  void SettleStarts();
  void SettleStart(pid_t pid);
  void ReadChannels(pid_t pid, bool succeeded = false);
  // What the zygote has told of the exec that it was given last.
  void SettleCloned();
  // Whether the zygote is to clone the exec of `packet`, whose plan *plan is then.
  bool PlanForZygote(const Packet& packet, Plan* plan);
  bool PlanForFork(const Packet& packet, Plan* plan);
  void ReleasePlan(const Packet& packet);
  void TakeCloned();
  void ForkCloned();
  bool TakeForked(Exec* exec, const Child* child, const char* call, int error);
  void NeverRan(Exec* exec);
  void ZygoteEnded();
  // Before what was given to it last needs anything that goes now.
  void EndZygote();
  void KeepZygote(const Exec& exec);
  void ReleaseZygote();
  // `first`: of the packet's descriptors, the exec's own.
  void CloneByZygote(Exec* exec, Packet* packet, int first, const ChildRequest& request);
  void ArmDeadline(Exec* exec, uint32_t timeout_ms);
  void KillExec(Exec* exec);
  void GiveUpExec(Exec* exec);
  void KillLeaf(Exec* exec);
  void ExecTimedOut(Exec* exec);
  void HangUp(Exec* exec);
  void TellExecExit(const Exec& exec, int exit_code, uint32_t flags = 0);
  void ListenToOutput(Container* container, int which);
  void OutputReady(Container* container, int which);
  void OutputEnded(Container* container);
  void LookLater(Container* container, int which);
  void LookAgain(Container* container, int which);
  // `bytes`, if given, grows by what was read.
  Pumped Pump(Container* container, int which, size_t* bytes = nullptr);
  void DrainLog(Container* container, int which);
  void CloseOutput(Container* container, int which);

  Attachment* FindAttachment(int connection);
  void SetHandlers(Attachment* attachment);
  bool OpenTerminalEnds(Attachment* attachment, uint32_t flags, int* theirs);
  bool OpenSinks(Attachment* attachment, uint32_t flags, int* theirs, int* count);
  bool TakeStdin(Attachment* attachment, uint32_t* flags, int* theirs, int* count);
  bool HasSink(const Container& container, int which) const;
  bool Hold(Container* container, int which);
  void Release(Container* container, int which);
  void SinkReady(Attachment::Sink* sink);
  void Give(Container* container, int which, const char* data, size_t bytes);
  void CloseSink(Attachment::Sink* sink);
  void InputReady(Attachment* attachment);
  void WriteTyped(Attachment* attachment);
  void Join(Attachment* attachment, Container* container);
  void JoinWaiting(Container* container, bool with_stdin);
  void TerminalCame(Container* container);
  // Tells all who are attached how the container ended, and lets go of them.
  void EndAttachments(const char* id, const wire::ExitEvent& exit);
  void CutOff(Attachment* attachment, int error);
  void RemoveAttachment(Attachment* attachment);

  void StartDial(Dial* dial);
  void DialReady(Dial* dial);
  void DialDone(Dial* dial);
  void DialFailed(Dial* dial, int error);
  void RemoveDial(Dial* dial);

  void Exited(Container* container, int status);
  void ExecExited(Exec* exec, int status);
  void FinishExit(Container* container);
  void List(Watcher* watcher);
  void AwaitRoom(Watcher* watcher);
  void EndList(Watcher* watcher);
  void HangUp(Watcher* watcher);
  // What has become of `container`, to all who watch.
  void Tell(Container* container, bool (*send)(const Container& container, int connection));
  void CountDropped(Container* container);
  void KillAll(Container* container);
  bool EnterLeaf(Exec* exec, ChildRequest* request);
  bool KeepLeaf(Exec* exec);
  void RemoveSpareLeaf(Container* container);
  void RemoveExec(Exec* exec);
  void RemoveLeaf(Exec* exec);
  void ReleaseLeaf(Exec* exec);
  void Discard(Container* container);

  static constexpr int kExitRecordBytes = 256;
  struct ExitRecordNames {
    explicit ExitRecordNames(const char* container_id);
    char name[wire::kIdBytes + 8], temporary[wire::kIdBytes + 12];
  };
  // False, with errno: there is no room for it.
  bool ReserveExitRecord(const char* container_id);
  void GiveUpExitRecord(const char* container_id);
  bool WriteExitRecord(const Container& container);

  Loop* loop_;
  int state_dir_;
  int own_pid_namespace_ = -1;
  int proc_ = -1;  // the node's, of the mount namespace that the monitor is in
  int init_pidfd_ = -1;
  pid_t init_pid_ = 0;
  int user_namespace_ = -1;
  uid_t root_uid_ = 0;  // what the user namespace's root is outside
  gid_t root_gid_ = 0;
  unsigned exec_count_ = 0;
  Zygote zygote_;
  Exec* cloned_ = nullptr;  // by the zygote, which has not told yet what became of it
  Timer zygote_timer_;
  Container* containers_ = nullptr;
  Exec* execs_ = nullptr;
  Attachment* attachments_ = nullptr;
  Dial* dials_ = nullptr;
  wire::LogLimits log_limits_ = {};
  Watcher watchers_[kMaxWatchers];
};

}  // namespace berth::monitor
