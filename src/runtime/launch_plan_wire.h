// The launch plan on the wire between berthd (writer) and berth-monitor (reader): see
// docs/formats/launch-plan.md. Freestanding: shared by both sides, so nothing but fixed-width
// integers.
//
// A plan is a memfd, that of an exec also part of its message: PlanHeader, then `step_count` steps.
// A step is StepHeader followed by its strings, each a u32 length, the bytes and one NUL (not
// counted). Everything is little-endian and 4-byte packed; the reader checks every length before it
// uses it. Steps run in order in the cloned child; the first failure ends it.
#pragma once

#include <cstdint>

namespace berth::wire {

inline constexpr uint32_t kPlanMagic = 0x314c5042;  // "BPL1"
inline constexpr uint32_t kPlanMaxBytes = 8 << 20;
inline constexpr uint32_t kStepMaxStrings = 1 << 16;

struct PlanHeader {
  uint32_t magic;
  uint32_t bytes;  // of the whole plan
  uint32_t step_count;
  uint32_t reserved;
};

// "fd" operands are indexes into the descriptors that came with the message. A "tree" operand is
// one of those (>= 0), or a slot that kOpenTree filled (TreeSlot(n)).
enum class Op : uint16_t {
  kJoinCgroup = 1,     // a=fd of a v1 `tasks` file: write "0"
  kUnshare = 2,        // a=CLONE_* flags
  kSetNs = 3,          // a=fd of a namespace, b=CLONE_* type
  kJoinContainer = 4,  // setns(pidfd of the container's first process): mount and cgroup
                       // namespaces, a=1: first its user namespace
  kSetHostname = 5,    // s0
  kNewSession = 6,     // setsid
  kPrivateMounts = 7,  // the mount tree becomes private; a=1: a slave of where it was copied from
  kMountOverlay = 8,   // s0=lower dirs, top first, ':'-joined; s1=upper; s2=work, all below s3=data
                       // directory; s4=directory to attach to; a=OverlayFlag b=fd of the user
                       // namespace whose mapping the layers get, or -1; s5=SELinux context or ""
  kMount = 9,  // s0=fs type s1=target s2=options '\n'-joined; a=MOUNT_ATTR_* b=PathKind c=1: left
               // out where the kernel denies it
  kBind = 10,  // s0=target; a=tree, or -1 and s1=path in the present mount namespace; b=PathKind |
               // BindFlag, c=MOUNT_ATTR_* to set
  kMakeNode = 11,  // s0=path a=mode with type b=dev_t c=uid | gid << 32
  kSymlink = 12,   // s0=path s1=target
  kPivotRoot = 13,
  kMaskPath = 14,      // s0; absent is fine
  kReadonlyPath = 15,  // s0; absent is fine
  kSetMountAttr = 16,  // s0=path, a=MOUNT_ATTR_* to set on the mount that is there
  kStdio = 17,         // a,b,c=fd of stdin, stdout, stderr, or a StdioFd
  kTerminal = 18,  // a pty of the container's devpts becomes stdio; its master goes to the monitor.
                   // a=rows b=columns; 0: 24 by 80
  kWriteProc =
      19,  // s0=path below /proc, s1=value; a=ProcTolerance b=uid to try again as where
           // root is refused (EACCES), 0 none: IPC sysctls belong to their namespace's root
  kSetRlimit = 20,        // a=resource b=soft c=hard; clamped to the present hard limit
  kChdir = 21,            // s0; created if absent
  kSetIdentity = 22,      // a=uid b=gid s0=supplementary gids as packed u32
  kSetCapabilities = 23,  // a=permitted b=effective c=inheritable; those not held are left out
  kNoNewPrivs = 24,
  kSeccomp = 25,       // s0=array of sock_filter; a=SECCOMP_FILTER_FLAG_*. With NEW_LISTENER the
                       // notify descriptor goes to the monitor
  kExec = 26,          // a=argc b=envc; strings: argv..., env...
  kLinkConsole = 27,   // bind the terminal on /dev/console
  kMakeDir = 28,       // s0=path a=mode
  kDropBounding = 29,  // a=capabilities that stay in the bounding set
  kSetAmbient = 30,  // a=capabilities raised in the ambient set (inheritable and permitted before)
  kOpenTree = 31,    // s0=path a=slot b=1: recursive. A detached clone, kept for kBind
  kIdmapTree = 32,   // [its path, for people] a=tree b=fd of a user namespace: its mapping
  // a=fd of a user namespace: the process becomes its root; b=CLONE_NEW* flags: it goes on in a new
  // child of the monitor (CLONE_PARENT), and the process that came this far ends
  kEnterUserNamespace = 33,
  kBindRoot = 34,    // s0=path of a directory, or a=fd: it becomes the root; b=BindFlag of the root
  kMountImage = 35,  // s0=lower dirs as kMountOverlay s1=target s2=path inside ("" is the root) s3=
                     // data directory; a=MOUNT_ATTR_* b=fd of a user namespace or -1. Read-only;
                     // c=n + 1: not attached to s1 but kept as TreeSlot(n) for kBind
  kSetUmask = 36,    // a=mode, for the process to be exec'ed
  kHook = 37,        // a=argc b=envc c=timeout in ms; strings: state JSON with "%PID%" for the
                     // pid, argv..., env...: runs it here, with the state on its stdin
  kAskHooks = 38,    // tells the daemon that the namespaces are there, and waits for its answer
  kSetDomainname = 39,        // s0
  kCreateUserNamespace = 40,  // s0=uid_map s1=gid_map (user_namespaces(7)) a=CLONE_NEW*: namespaces
                              // that the new user namespace owns; the monitor enters them, not it
  kJoinContainerCgroups = 41,  // the v1 cgroups that the container's own plan joined (exec)
  kAwaitCgroups = 42,          // waits for the container's v1 cgroups (kStartRest), and joins them
};

inline constexpr int64_t TreeSlot(int n) { return -2 - n; }
inline constexpr int kTreeSlots = 16;
// "tree" operand: the nth view that came with the cgroups of kAwaitCgroups.
inline constexpr int64_t kFirstCgroupView = 1 << 16;
inline constexpr int64_t CgroupView(int n) { return kFirstCgroupView + n; }

enum PathKind : int64_t { kDirectory = 0, kFile = 1 };

enum BindFlag : int64_t {
  kBindRecursiveAttributes = 2,  // c applies to the mounts below, too
  kBindSlave = 4,                // default: private
  kBindShared = 8,
  kBindOverKernelFs = 16,  // the target may be on procfs or sysfs; EACCES there without it
  kBindPath = 32,          // with s1: with the mounts below
  kBindTarget = 64,        // of the target itself, without s1 and a
};

// Failures of kWriteProc that do not end the plan: a value that only CAP_SYS_RESOURCE may set
// (oom_score_adj), a file that this kernel does not have (IPv6 off).
enum ProcTolerance : int64_t { kTolerateDenied = 1, kTolerateAbsent = 2 };

enum StdioFd : int64_t { kNull = -1, kLogStdout = -2, kLogStderr = -3, kStdinPipe = -4 };

enum OverlayFlag : int64_t {
  kOverlayVolatile = 1,
  kOverlayByFsopen =
      2,  // fsopen with lowerdir+ (kernel >= 6.8); otherwise mount(2) with relative names
  kOverlayReadonly = 4,  // no upper
};

struct StepHeader {
  uint16_t op;
  uint16_t reserved;
  uint32_t string_count;
  uint32_t bytes;  // of header and strings
  int64_t a, b, c;
} __attribute__((packed));

}  // namespace berth::wire
