// Messages between berthd and berth-monitor over SOCK_SEQPACKET: see
// docs/formats/monitor-protocol.md. Freestanding: shared by both sides. One packet is one message:
// Header and the struct of its type.
#pragma once

#include <cstdint>

namespace berth::wire {

inline constexpr uint32_t kProtocolMagic = 0x314d5242;  // "BRM1"
inline constexpr uint16_t kProtocolVersion = 2;
inline constexpr uint32_t kMaxMessageBytes = 16 << 10;
inline constexpr int kMaxMessageFds = 64;
// Of a message that may have its plan with it: where that begins, and how large it is at most.
inline constexpr uint32_t kPlanOffset = 1024;
inline constexpr uint32_t kPlanInMessageMaxBytes = 48 << 10;

// Descriptors that berth-monitor is started with, before it has a pod.
enum StartFd : int {
  kFirstConnectionFd = 3,  // SOCK_SEQPACKET: kSetUp comes, then what any connection takes
  kStateDirFd = 4,         // what becomes the pod's state directory: exit records
  kMountNsFd = 5,          // the node's minimal mount namespace
  kListenerFd = 6,         // of the socket in the state directory
  kSecondConnectionFd = 7  // what any connection takes, once there is a pod
};

enum class Type : uint16_t {
  // requests
  kHello = 1,  // empty; answered by kHelloReply once the pod plan is done, or kError
  kStart = 2,  // StartRequest; fds: plan, then those that it names; answered by kStarted or kError
  kStop = 3,   // StopRequest; answered by kOk at once; the exit comes as kExit to watchers
  kExec = 4,   // ExecRequest; fds as kStart; answered by kExit once it has ended, or kError
  kReopenLog =
      5,  // ContainerRequest and the new log fd; kOk once no byte goes to the old file any more
  kWatch = 6,     // empty; answered by one kRunning or kExit for each container, kOk, then kExit as
                  // they come
  kShutdown = 7,  // empty; kills what runs, answers kOk, ends
  kResize = 8,    // ResizeRequest; kOk
  kForget = 9,    // ContainerRequest: an exited container's record is dropped; kOk
  kHooksDone = 10,  // HooksDone: the answer to kHooksDue or kSeccompListener, on their connection
  // Requests that make their connection a session, whatever the answer: from then on it belongs to
  // an unprivileged process, and takes nothing but what is said here.
  kExecSession = 11,  // ExecRequest; fds as kExec; kStarted once it runs (with kTerminalFlag: and
                      // the terminal's master) or kError, then kExit. Nothing more may be sent
  kAttach = 12,       // AttachRequest; kAttached or kError, then kExit. kResize may be sent
  kPortForward = 13,  // empty; kOk. kConnect may be sent
  kConnect = 14,      // ConnectRequest, in a port-forward session; kConnected, or kError whose step
                      // is ConnectRequest::request
  kLimitLogs = 15,    // LogLimits, of containers that start later; kOk
  kExecWithPlan = 16,  // as kExec, but the plan is in the packet, at kPlanOffset; zeros before it.
                       // Monitors that take this send kExitNothingLeft
  kSetUp = 17,    // SetUpRequest, on the first connection, once: the pod, whose cgroups the monitor
                  // joins and whose plan it runs on itself; as kHello
  kPrepare = 18,  // on the first connection, before kSetUp: what the pod's plan begins with, in the
                  // packet at kPlanOffset; zeros before it. No answer: kSetUp has it
  kStartRest = 19,  // StartRest, on the connection of a start whose plan has kAwaitCgroups, which
                    // has the answer
  kStartWithPlan = 20,  // as kStart, but the plan is in the packet, at kPlanOffset; zeros before it
  // replies
  kOk = 100,
  kError = 101,  // ErrorReply
  kHelloReply =
      102,  // HelloReply; fds: network namespace, a NETLINK_ROUTE socket opened inside it (if
            // has_network), then the pod's user namespace (if has_user_namespace)
  kStarted = 103,  // StartedReply
  kExit = 104,     // ExitEvent
  kRunning = 105,  // RunningEvent
  // Between kStart (kExec) and its kStarted or kError, on its connection; wait for kHooksDone:
  kHooksDue = 106,         // StartedReply: kAskHooks was reached
  kSeccompListener = 107,  // StartedReply; fd: the notify descriptor
  kAttached = 108,  // AttachedReply; fds: with a terminal one stream socket; else one for each flag
                    // of the reply: where stdin is written, where stdout and stderr are read
  kConnected = 109,   // ConnectedReply; fd: a TCP connection in the pod's network namespace
  kLogDropped = 110,  // LogDroppedEvent, to watchers: each second in which a running container's
                      // output was dropped
};

struct Header {
  uint32_t magic;
  uint16_t version;
  uint16_t type;
};

inline constexpr int kIdBytes = 64;

// Which pid namespace the new process starts in.
enum class PidMode : uint32_t { kNew = 0, kPod = 1, kNode = 2, kContainer = 3 };

enum StartFlag : uint32_t {
  kTerminalFlag = 1,  // the plan has kTerminal: one master fd comes back
  kCgroupIsUnified =
      2,           // cgroup_dir_fd is on a cgroup2 mount: CLONE_INTO_CGROUP and cgroup.kill work
  kStdinOpen = 4,  // stdin is a pipe, whose other end the monitor keeps
  kPlanClonesPid = 8,  // kEnterUserNamespace makes the pid namespace, not the first clone
  kLauncher = 16,      // the plan execs an OCI runtime's create: once that has ended with 0, the
                       // container is the process that "<pid_dir>/pid" names
  kOutsideContainer = 32,  // ExecRequest: the plan enters nothing of the container, which need not
                           // run; it has no leaf cgroup
  kStdinOnce = 64,         // StartRequest: stdin ends with that of the first who is attached to it
};

// The descriptors: the `tasks` files of cgroup v1; with kPlanInFile the plan, which is in the
// packet at kPlanOffset otherwise; those that it names.
struct SetUpRequest {
  char pod_id[kIdBytes];
  uint32_t flags;  // SetUpFlag
  uint32_t task_count;
};

enum SetUpFlag : uint32_t {
  kOwnPidNamespace = 1,  // the pod's containers share one, whose first process the monitor starts
  kPlanInFile = 2,
};

struct StartRequest {
  char container_id[kIdBytes];
  uint32_t flags;
  PidMode pid_mode;
  int32_t cgroup_dir_fd;  // index among the fds: the container's cgroup (v2, unified, or one v1
                          // hierarchy)
  int32_t memory_dir_fd;  // index, the cgroup that has memory.events or memory.oom_control; -1 none
  int32_t log_fd;         // index, -1: output is read and dropped
  int32_t pid_dir_fd;     // index, with kLauncher; else -1
  char target_id[kIdBytes];  // PidMode::kContainer: a running container of the pod
};

// What is made while a start's plan is carried out. The descriptors: memory's directory and the
// log, if there are; the `tasks` files; views (CgroupView).
struct StartRest {
  int32_t error;   // errno: it could not be made, and the start ends
  uint32_t flags;  // StartRestFlag
  uint32_t task_count;
};

enum StartRestFlag : uint32_t { kHasMemory = 1, kHasLog = 2 };

struct StopRequest {
  char container_id[kIdBytes];
  int32_t signal;
  uint32_t timeout_ms;  // 0: SIGKILL at once
};

struct ExecRequest {
  char container_id[kIdBytes];
  uint32_t flags;
  uint32_t timeout_ms;  // 0: none. At the deadline the whole leaf cgroup is killed
  uint32_t reserved[2];
};

struct ContainerRequest {
  char container_id[kIdBytes];
};

struct ResizeRequest {
  char container_id[kIdBytes];
  uint16_t rows, columns;
};

enum StreamFlag : uint32_t {
  kAttachStdin = 1,
  kAttachStdout = 2,
  kAttachStderr = 4,
  kAttachTerminal = 8,  // the container has one, or will have
};

struct AttachRequest {
  char container_id[kIdBytes];
  uint32_t flags;          // StreamFlag; no stderr with a terminal
  uint16_t rows, columns;  // of the terminal; 0: as they are
};

struct ConnectRequest {
  uint32_t request;  // chosen by the sender, comes back in the answer
  uint16_t port, reserved;
};

struct LogLimits {
  uint64_t bytes_per_second;  // of one container's output that is kept; 0: all
  uint64_t max_bytes;         // of one log file; 0: no limit
};

struct HelloReply {
  int32_t pid;
  int32_t pod_init_pid;         // 0 without a pod pid namespace
  uint32_t has_network;         // 1: two fds come with this message
  uint32_t has_user_namespace;  // 1: one more
};

struct ErrorReply {
  int32_t step;   // index in the plan; -1 outside a plan
  int32_t error;  // errno
  char call[48];  // what failed, NUL-terminated
};

struct StartedReply {
  int32_t pid;
};

struct HooksDone {
  int32_t error;  // errno; 0 goes on
};

struct AttachedReply {
  uint32_t flags;  // StreamFlag: stdin is missing where the container has none, or no longer
};

struct ConnectedReply {
  uint32_t request;
};

struct RunningEvent {
  char container_id[kIdBytes];
  int32_t pid;
};

struct LogDroppedEvent {
  char container_id[kIdBytes];
  uint64_t bytes;  // since its start
};

enum ExitFlag : uint32_t {
  kExitOom = 1,
  kExitTimeout = 2,
  kExitFailedStart = 4,
  kExitNothingLeft = 8,  // to kExec: nothing that it started runs on, and its connection may take
                         // another request
};

struct ExitEvent {
  char container_id[kIdBytes];
  int32_t exit_code;  // 0-255; 128+n for signal n
  uint32_t flags;
  int64_t finished_at;  // ns since the epoch
  uint64_t log_dropped_bytes;
};

// Of `berth-monitor --open-volumes`, one packet for each path.
struct VolumeReply {
  int32_t error;  // errno; 0: the detached tree comes with it
  uint8_t is_directory, shared, slave;
  uint8_t attributes;  // MOUNT_ATTR_RDONLY, _NOSUID, _NODEV, _NOEXEC of the mount
};

}  // namespace berth::wire
