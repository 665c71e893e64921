// Messages between berthd and berth-stream over SOCK_SEQPACKET, one connection for each connection
// of a client: see docs/formats/stream-protocol.md. One packet is one message: StreamHeader and the
// struct of its type. berth-stream asks, berthd answers; once kBegun has come berthd is no longer
// needed.
#pragma once

#include <cstdint>

namespace berth::wire {

inline constexpr uint32_t kStreamMagic = 0x31535242;  // "BRS1"
inline constexpr uint16_t kStreamVersion = 2;

// Descriptors that berth-stream is started with.
enum StreamStartFd : int {
  kClientFd = 3,       // the accepted connection
  kControlFd = 4,      // SOCK_SEQPACKET, to berthd
  kCertificateFd = 5,  // with --tls: PEM chain, sealed memfd
  kPrivateKeyFd = 6,   // with --tls: PEM key, sealed memfd
};

enum class StreamType : uint16_t {
  kRedeem = 1,      // RedeemRequest, before the upgrade is answered; kRedeemed or kRefused
  kBegin = 2,       // BeginRequest, once the client's streams are there; kBegun or kRefused
  kRedeemed = 100,  // RedeemedReply
  kBegun = 101,     // BegunReply and its descriptors
  kRefused = 102,   // RefusedReply
};

struct StreamHeader {
  uint32_t magic;
  uint16_t version;
  uint16_t type;
};

enum class SessionKind : uint32_t { kExec = 1, kAttach = 2, kPortForward = 3 };

inline constexpr int kTokenBytes = 64;  // lower-case hex of 256 bits

struct RedeemRequest {
  SessionKind kind;  // that of the path the client asked for
  char token[kTokenBytes];
};

enum SessionFlag : uint32_t {
  kSessionTerminal = 1,
  kSessionStdin = 2,
  kSessionStdout = 4,
  kSessionStderr = 8,
};

inline constexpr int kMaxSessionPorts = 64;

struct RedeemedReply {
  SessionKind kind;
  uint32_t flags;  // SessionFlag: what the CRI request asked for
  uint32_t port_count;
  uint16_t ports[kMaxSessionPorts];  // of PortForwardRequest
};

struct BeginRequest {
  uint16_t rows, columns;  // first size of the terminal; 0: not known yet
};

// Descriptors, in this order:
//   the session's SOCK_SEQPACKET connection to the monitor (monitor_protocol.h): kExit comes there;
//     kResize (attach) and kConnect (port-forward) may be sent, nothing else;
//   exec and attach, each if its flag is set: where stdin is written, where stdout is read, where
//     stderr is read. With kSessionTerminal there is one descriptor for stdin and stdout together:
//     the terminal's master (exec) or a stream socket to the monitor (attach).
struct BegunReply {
  uint32_t flags;  // SessionFlag, of the descriptors that came
};

struct RefusedReply {
  int32_t code;        // google.rpc.Code
  int32_t exit_code;   // of an exec whose program is not there (127) or cannot run (126); else 0
  char message[1024];  // for the client, NUL-terminated
};

}  // namespace berth::wire
