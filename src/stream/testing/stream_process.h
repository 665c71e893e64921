// A real berth-stream with a berthd and a monitor that the test plays.
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "src/base/steady_time.h"
#include "src/base/unique_fd.h"
#include "src/kernel/process.h"
#include "src/kernel/socket.h"
#include "src/runtime/monitor_protocol.h"
#include "src/stream/packet_socket.h"
#include "src/stream/session_protocol.h"
#include "src/stream/testing/raw_client.h"

namespace berth::testing_stream {

inline const std::string kToken(wire::kTokenBytes, 'a');

inline std::pair<UniqueFd, UniqueFd> SocketPair(int type) {
  int fds[2] = {-1, -1};
  EXPECT_EQ(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

inline std::pair<UniqueFd, UniqueFd> Pipe() {
  int fds[2] = {-1, -1};
  EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// Two ends of a TCP connection over loopback: the client's, the accepted one.
inline std::pair<UniqueFd, UniqueFd> TcpPair() {
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(::bind(listener.get(), any, size), 0);
  EXPECT_EQ(::listen(listener.get(), 1), 0);
  EXPECT_EQ(::getsockname(listener.get(), any, &size), 0);
  UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(client.get(), any, size), 0);
  return {std::move(client), UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC))};
}

class StreamProcess {
 public:
  explicit StreamProcess(std::vector<std::string> arguments = {}, std::vector<int> more_fds = {}) {
    auto [client_end, accepted] = TcpPair();
    client_.emplace(std::move(client_end));
    auto [ours, theirs] = SocketPair(SOCK_SEQPACKET);
    control_ = std::move(ours);
    SpawnRequest request;
    request.path = BERTH_BIN_DIR "/berth-stream";
    request.argv = {"berth-stream"};
    request.argv.insert(request.argv.end(), arguments.begin(), arguments.end());
    request.fds = {-1, -1, 2, accepted.get(), theirs.get()};
    request.fds.insert(request.fds.end(), more_fds.begin(), more_fds.end());
    auto process = Spawn(request);
    EXPECT_TRUE(process.ok()) << process.status();
    if (process.ok()) process_ = *std::move(process);
  }
  ~StreamProcess() {
    if (!process_.pidfd.valid()) return;
    ::syscall(SYS_pidfd_send_signal, process_.pidfd.get(), SIGKILL, nullptr, 0);
    Reap();
  }
  StreamProcess(const StreamProcess&) = delete;

  RawClient& client() { return *client_; }
  pid_t pid() const { return process_.pid; }

  // The next packet of `socket` as a struct behind its head; the type is checked.
  template <class Head, class Body, class Type>
  static Body Expect(int socket, Type type) {
    auto packet = ReceivePacket(socket, SteadyNow() + absl::Seconds(20));
    EXPECT_TRUE(packet.ok()) << packet.status();
    Body body = {};
    if (!packet.ok()) return body;
    Head head = {};
    if (packet->data.size() >= sizeof(head)) std::memcpy(&head, packet->data.data(), sizeof(head));
    EXPECT_EQ(head.type, static_cast<uint16_t>(type));
    const auto read = ReadBody<Head, Body>(packet->data);
    EXPECT_TRUE(read.has_value());
    return read.value_or(body);
  }

  wire::RedeemRequest ExpectRedeem() {
    return Expect<wire::StreamHeader, wire::RedeemRequest>(control_.get(),
                                                           wire::StreamType::kRedeem);
  }
  wire::BeginRequest ExpectBegin() {
    return Expect<wire::StreamHeader, wire::BeginRequest>(control_.get(), wire::StreamType::kBegin);
  }
  // Nothing comes from berth-stream any more, not even a question.
  bool ControlEnds() {
    const auto packet = ReceivePacket(control_.get(), SteadyNow() + absl::Seconds(20));
    return packet.status().code() == absl::StatusCode::kUnavailable;
  }

  template <class Body>
  void Reply(wire::StreamType type, const Body& body, const std::vector<int>& fds = {}) {
    const wire::StreamHeader head = {wire::kStreamMagic, wire::kStreamVersion,
                                     static_cast<uint16_t>(type)};
    EXPECT_TRUE(SendPacket(control_.get(), MakePacket(head, body), fds).ok());
  }
  void Redeem(wire::SessionKind kind, uint32_t flags, const std::vector<uint16_t>& ports = {}) {
    EXPECT_EQ(ExpectRedeem().kind, kind);
    wire::RedeemedReply reply = {
        .kind = kind, .flags = flags, .port_count = static_cast<uint32_t>(ports.size())};
    std::copy(ports.begin(), ports.end(), reply.ports);
    Reply(wire::StreamType::kRedeemed, reply);
  }
  void Refuse(int code, absl::string_view message, int exit_code = 0) {
    wire::RefusedReply reply = {.code = code, .exit_code = exit_code};
    message.copy(reply.message, sizeof(reply.message) - 1);
    Reply(wire::StreamType::kRefused, reply);
  }

  // Answers kBegin with a session whose other ends stay here.
  wire::BeginRequest Begin(uint32_t flags) {
    const wire::BeginRequest request = ExpectBegin();
    auto [monitor_here, monitor] = SocketPair(SOCK_SEQPACKET);
    monitor_ = std::move(monitor_here);
    std::vector<UniqueFd> given;
    given.push_back(std::move(monitor));
    if ((flags & wire::kSessionTerminal) != 0) {
      auto [here, there] = SocketPair(SOCK_STREAM);
      terminal = std::move(here);
      given.push_back(std::move(there));
    } else {
      if ((flags & wire::kSessionStdin) != 0) {
        auto [read, write] = Pipe();
        in = std::move(read);
        given.push_back(std::move(write));
      }
      for (const auto& [flag, end] :
           {std::pair{wire::kSessionStdout, &out}, std::pair{wire::kSessionStderr, &err}}) {
        if ((flags & flag) == 0) continue;
        auto [read, write] = Pipe();
        *end = std::move(write);
        given.push_back(std::move(read));
      }
    }
    std::vector<int> fds;
    for (const UniqueFd& fd : given) fds.push_back(fd.get());
    Reply(wire::StreamType::kBegun, wire::BegunReply{.flags = flags}, fds);
    return request;
  }

  template <class Body>
  void FromMonitor(wire::Type type, const Body& body, const std::vector<int>& fds = {}) {
    const wire::Header head = {wire::kProtocolMagic, wire::kProtocolVersion,
                               static_cast<uint16_t>(type)};
    EXPECT_TRUE(SendPacket(monitor_.get(), MakePacket(head, body), fds).ok());
  }
  void Exit(int code) {
    wire::ExitEvent exit = {};
    exit.exit_code = code;
    FromMonitor(wire::Type::kExit, exit);
  }
  int monitor() const { return monitor_.get(); }
  void CloseMonitor() { monitor_.reset(); }
  void KillBerthd() { control_.reset(); }

  // The process has ended by itself within 30 s.
  bool Ends() {
    pollfd wait = {.fd = process_.pidfd.get(), .events = POLLIN, .revents = 0};
    if (::poll(&wait, 1, 30'000) != 1) return false;
    const siginfo_t info = Reap();
    EXPECT_EQ(info.si_code, CLD_EXITED);
    EXPECT_EQ(info.si_status, 0);
    return info.si_code == CLD_EXITED;
  }

  // The process's ends; the ones that the session has are valid.
  UniqueFd in, out, err, terminal;

 private:
  siginfo_t Reap() {
    siginfo_t info = {};
    ::waitid(P_PIDFD, static_cast<id_t>(process_.pidfd.get()), &info, WEXITED);
    process_.pidfd.reset();
    return info;
  }

  std::optional<RawClient> client_;
  UniqueFd control_, monitor_;
  SpawnedProcess process_;
};

}  // namespace berth::testing_stream
