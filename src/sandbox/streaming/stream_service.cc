#include "src/sandbox/streaming/stream_service.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "src/base/start_thread.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/kernel/process.h"
#include "src/kernel/socket.h"
#include "src/runtime/exec_failure.h"
#include "src/stream/session_protocol.h"

namespace berth {
namespace {

using wire::StreamType;

// A client has so long for its TLS handshake and its request, and then for the streams of its
// session (remotecommand clients give up after 30 s as well).
constexpr absl::Duration kRedeemTimeout = absl::Seconds(30), kBeginTimeout = absl::Seconds(40);
// What was refused has so long to tell its client.
constexpr absl::Duration kRefusedTimeout = absl::Seconds(10);
constexpr absl::Duration kAcceptRetry = absl::Milliseconds(100);

constexpr char kBusy[] =
    "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n"
    "Connection: close\r\n\r\n";

std::string Message(StreamType type) {
  const wire::StreamHeader header = {.magic = wire::kStreamMagic,
                                     .version = wire::kStreamVersion,
                                     .type = static_cast<uint16_t>(type)};
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header));
}

template <typename T>
std::string Message(StreamType type, const T& payload) {
  return Message(type).append(reinterpret_cast<const char*>(&payload), sizeof(payload));
}

// Exactly one message of that type, without descriptors.
template <typename T>
absl::StatusOr<T> ReceiveOne(int control, StreamType type, absl::Duration timeout) {
  ASSIGN_OR_RETURN(const Packet packet, ReceivePacket(control, SteadyNow() + timeout, 4096));
  wire::StreamHeader header;
  T payload;
  if (packet.data.size() != sizeof(header) + sizeof(payload) || !packet.fds.empty())
    return absl::DataLossError("berth-stream: a message of the wrong length");
  std::memcpy(&header, packet.data.data(), sizeof(header));
  if (header.magic != wire::kStreamMagic || header.version != wire::kStreamVersion ||
      header.type != static_cast<uint16_t>(type))
    return absl::DataLossError("berth-stream: not the message that is due");
  std::memcpy(&payload, packet.data.data() + sizeof(header), sizeof(payload));
  return payload;
}

uint32_t FlagsOf(const SessionRequest& request) {
  const ExecStreams& streams = request.streams;
  if (request.kind == wire::SessionKind::kPortForward) return 0;
  uint32_t flags = 0;
  if (streams.terminal) flags |= wire::kSessionTerminal;
  if (streams.input) flags |= wire::kSessionStdin;
  if (streams.output) flags |= wire::kSessionStdout;
  if (streams.error_output && !streams.terminal) flags |= wire::kSessionStderr;
  return flags;
}

absl::string_view PathOf(wire::SessionKind kind) {
  switch (kind) {
    case wire::SessionKind::kExec:
      return "exec";
    case wire::SessionKind::kAttach:
      return "attach";
    case wire::SessionKind::kPortForward:
      return "portforward";
  }
  return "";
}

absl::Status CheckUrl(const StreamService::Options& options, const TcpListener& listener) {
  if (options.url.empty() && listener.any_address) {
    return absl::InvalidArgumentError(
        absl::StrCat("stream.listen ", options.listen,
                     ": clients cannot connect to it, stream.url must be set"));
  }
  if (options.url.empty() || absl::StartsWith(options.url, "http://") ||
      absl::StartsWith(options.url, "https://"))
    return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("stream.url \"", options.url, "\": not http:// or https://"));
}

std::string BaseUrl(const StreamService::Options& options, const TcpListener& listener) {
  if (!options.url.empty()) return std::string(absl::StripSuffix(options.url, "/"));
  return absl::StrCat(options.certificate.empty() ? "http://" : "https://", listener.address);
}

absl::Status AddTo(int epoll, int fd) {
  epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0) return absl::OkStatus();
  return ErrnoStatus("epoll_ctl", "streaming service");
}

}  // namespace

StreamService::StreamService(Options options, TcpListener listener, UniqueFd helper,
                             const Node& node)
    : options_(std::move(options)),
      listener_(std::move(listener)),
      helper_(std::move(helper)),
      node_(node),
      base_url_(BaseUrl(options_, listener_)),
      tokens_({}),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      stop_(::eventfd(0, EFD_CLOEXEC)) {}

absl::StatusOr<std::unique_ptr<StreamService>> StreamService::Start(Options options,
                                                                    const Node& node) {
  if (options.certificate.empty() != options.private_key.empty()) {
    return absl::InvalidArgumentError(
        "stream.tls_certificate and stream.tls_key: one of them alone is not enough");
  }
  ASSIGN_OR_RETURN(TcpListener listener, ListenTcp(options.listen));
  RETURN_IF_ERROR(CheckUrl(options, listener));
  ASSIGN_OR_RETURN(UniqueFd helper, SealedCopy(options.helper_path));
  std::unique_ptr<StreamService> service(
      new StreamService(std::move(options), std::move(listener), std::move(helper), node));
  std::vector<UniqueFd> files;
  RETURN_IF_ERROR(service->AddTlsFiles(&files));
  const int socket = service->listener_.socket.get();
  if (::fcntl(socket, F_SETFL, O_NONBLOCK) != 0) return ErrnoStatus("fcntl", "listener");
  RETURN_IF_ERROR(AddTo(service->epoll_.get(), socket));
  RETURN_IF_ERROR(AddTo(service->epoll_.get(), service->stop_.get()));
  service->thread_ = std::thread([raw = service.get()] { raw->Run(); });
  return service;
}

StreamService::~StreamService() {
  if (thread_.joinable()) {
    ::eventfd_write(stop_.get(), 1);
    thread_.join();
  }
  const auto idle = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return controls_.empty(); };
  absl::MutexLock lock(&mu_);
  stopping_ = true;
  for (const int control : controls_) ::shutdown(control, SHUT_RDWR);
  mu_.Await(absl::Condition(&idle));
}

absl::StatusOr<std::string> StreamService::UrlFor(SessionRequest request) {
  const wire::SessionKind kind = request.kind;
  ASSIGN_OR_RETURN(const std::string token, tokens_.Issue(std::move(request), SteadyNow()));
  return absl::StrCat(base_url_, "/", PathOf(kind), "/", token);
}

void StreamService::Run() {
  while (true) {
    epoll_event event;
    if (::epoll_wait(epoll_.get(), &event, 1, -1) != 1) continue;
    if (event.data.fd == stop_.get()) return;
    if (event.data.fd == listener_.socket.get()) {
      Accept();
    } else {
      Reap(event.data.fd);
    }
  }
}

void StreamService::Accept() {
  UniqueFd client(::accept4(listener_.socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!client.valid()) {
    if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS) return;
    options_.log->Error("stream connection not accepted", {{"error", std::strerror(errno)}});
    absl::SleepFor(kAcceptRetry);  // the cause does not go away by asking again at once
    return;
  }
  if (processes_.size() >= options_.max_connections) {
    options_.log->Warning("stream connection refused",
                          {{"error", absl::StrCat("stream.max_connections: there are ",
                                                  options_.max_connections, " already")}});
    if (options_.certificate.empty())
      ::send(client.get(), kBusy, sizeof(kBusy) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    return;
  }
  const absl::Status started = StartStream(std::move(client));
  if (!started.ok())
    options_.log->Error("stream connection not served", {{"error", started.message()}});
}

// Read anew for each connection: a certificate that was renewed is used from the next one on.
absl::Status StreamService::AddTlsFiles(std::vector<UniqueFd>* files) const {
  if (options_.certificate.empty()) return absl::OkStatus();
  for (const std::string& path : {options_.certificate, options_.private_key}) {
    ASSIGN_OR_RETURN(UniqueFd file, SealedCopy(path));
    if (::lseek(file.get(), 0, SEEK_SET) != 0) return ErrnoStatus("lseek", path);
    files->push_back(std::move(file));
  }
  return absl::OkStatus();
}

absl::Status StreamService::StartStream(UniqueFd client) {
  std::vector<UniqueFd> files;
  RETURN_IF_ERROR(AddTlsFiles(&files));
  ASSIGN_OR_RETURN(SocketPair control, ConnectedPair());
  SpawnRequest request = {
      .executable_fd = helper_.get(),
      .argv = {"berth-stream", "--idle-timeout-seconds",
               absl::StrCat(absl::ToInt64Seconds(options_.idle_timeout))},
      .fds = {-1, -1, STDERR_FILENO, client.get(), control.theirs.get()},
      .default_oom_score = true,
  };
  if (!files.empty()) request.argv.push_back("--tls");
  for (const UniqueFd& file : files) request.fds.push_back(file.get());
  ASSIGN_OR_RETURN(SpawnedProcess process, Spawn(request));
  UniqueFd to_kill(::fcntl(process.pidfd.get(), F_DUPFD_CLOEXEC, 3));
  const int pidfd = process.pidfd.get();
  processes_[pidfd] = std::move(process.pidfd);
  if (const absl::Status added = AddTo(epoll_.get(), pidfd); !added.ok()) {
    ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
    ::waitid(P_PIDFD, static_cast<id_t>(pidfd), nullptr, WEXITED);
    processes_.erase(pidfd);
    return added;
  }
  const int served = control.ours.get();
  {
    absl::MutexLock lock(&mu_);
    controls_.insert(served);
  }
  // A berth-stream whose control connection is closed ends.
  absl::StatusOr<std::thread> thread = StartThread(
      "of a stream",
      [this, control = std::move(control.ours), to_kill = std::move(to_kill)]() mutable {
        ServeControl(std::move(control), to_kill);
      });
  if (!thread.ok()) {
    absl::MutexLock lock(&mu_);
    controls_.erase(served);
    return thread.status();
  }
  thread->detach();
  return absl::OkStatus();
}

void StreamService::Reap(int pidfd) {
  ::waitid(P_PIDFD, static_cast<id_t>(pidfd), nullptr, WEXITED | WNOHANG);
  // The thread that serves it may have a copy of the descriptor, which would stay in the set.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, pidfd, nullptr);
  processes_.erase(pidfd);
}

void StreamService::ServeControl(UniqueFd control, const UniqueFd& process) {
  const absl::Status served = Converse(control.get());
  absl::MutexLock lock(&mu_);
  if (!served.ok() && !stopping_) {
    options_.log->Warning("berth-stream killed", {{"error", served.message()}});
    ::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
  }
  controls_.erase(control.get());
  control.reset();
}

absl::Status StreamService::Converse(int control) {
  const auto redeem = ReceiveOne<wire::RedeemRequest>(control, StreamType::kRedeem, kRedeemTimeout);
  if (absl::IsUnavailable(redeem.status())) return absl::OkStatus();  // the client never asked
  if (!redeem.ok()) return redeem.status();
  const absl::StatusOr<SessionRequest> request = tokens_.Redeem(
      redeem->kind, absl::string_view(redeem->token, wire::kTokenBytes), SteadyNow());
  if (!request.ok()) return Refuse(control, request.status());
  wire::RedeemedReply redeemed = {.kind = request->kind, .flags = FlagsOf(*request)};
  for (const uint16_t port : request->ports) {
    if (redeemed.port_count < wire::kMaxSessionPorts) redeemed.ports[redeemed.port_count++] = port;
  }
  RETURN_IF_ERROR(SendPacket(control, Message(StreamType::kRedeemed, redeemed), {}));

  const auto begin = ReceiveOne<wire::BeginRequest>(control, StreamType::kBegin, kBeginTimeout);
  if (absl::IsUnavailable(begin.status())) return absl::OkStatus();
  if (!begin.ok()) return begin.status();
  const absl::StatusOr<MonitorSession> session = Begin(*request, *begin);
  if (!session.ok()) return Refuse(control, session.status());
  wire::BegunReply begun = {.flags = FlagsOf(*request)};
  std::vector<int> fds = {session->connection.get()};
  if (request->kind != wire::SessionKind::kPortForward) {
    if (!session->takes_input) begun.flags &= ~wire::kSessionStdin;
    for (const UniqueFd* fd : {&session->input, &session->output, &session->error_output}) {
      if (fd->valid()) fds.push_back(fd->get());
    }
  }
  options_.log->Info("session begun", {{"kind", PathOf(request->kind)}, {"id", request->id}});
  const absl::Status sent = SendPacket(control, Message(StreamType::kBegun, begun), fds);
  return absl::IsUnavailable(sent) ? absl::OkStatus() : sent;
}

// Then waits for the berth-stream to tell its client and to end.
absl::Status StreamService::Refuse(int control, const absl::Status& why) const {
  options_.log->Warning("session refused", {{"error", why.message()}});
  wire::RefusedReply reply = {.code = static_cast<int32_t>(why.code()),
                              .exit_code = ExecFailureCode(why)};
  const absl::string_view text = why.message().substr(0, sizeof(reply.message) - 1);
  std::memcpy(reply.message, text.data(), text.size());
  const absl::Status sent = SendPacket(control, Message(StreamType::kRefused, reply), {});
  if (absl::IsUnavailable(sent)) return absl::OkStatus();
  RETURN_IF_ERROR(sent);
  const absl::Status more = ReceivePacket(control, SteadyNow() + kRefusedTimeout, 4096).status();
  if (absl::IsUnavailable(more)) return absl::OkStatus();
  return absl::DeadlineExceededError("berth-stream: does not end after a refusal");
}

absl::StatusOr<MonitorSession> StreamService::Begin(const SessionRequest& request,
                                                    const wire::BeginRequest& begin) const {
  ExecStreams streams = request.streams;
  streams.rows = begin.rows;
  streams.columns = begin.columns;
  switch (request.kind) {
    case wire::SessionKind::kExec:
      return node_.ExecSession(request.id, request.command, streams);
    case wire::SessionKind::kAttach:
      return node_.AttachSession(request.id, streams);
    case wire::SessionKind::kPortForward:
      return node_.PortForwardSession(request.id);
  }
  return absl::InternalError("session: of no kind");
}

}  // namespace berth
