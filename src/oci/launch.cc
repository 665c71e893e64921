#include "src/oci/launch.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/wait.h>

#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/kernel/process.h"
#include "src/kernel/socket.h"

namespace berth::oci {
namespace {

using wire::Op;
using wire::Type;

struct Helper {
  UniqueFd socket;
  SpawnedProcess process;
};

// `argv` and the descriptors behind 0, 1, 2 and the socket.
absl::StatusOr<Helper> SpawnHelper(int monitor, std::vector<std::string> argv,
                                   const std::vector<int>& fds) {
  ASSIGN_OR_RETURN(SocketPair pair, ConnectedPair());
  Helper helper = {.socket = std::move(pair.ours), .process = {}};
  SpawnRequest request = {.executable_fd = monitor,
                          .argv = std::move(argv),
                          .fds = {0, 1, 2, pair.theirs.get()},
                          .new_session = false};
  request.fds.insert(request.fds.end(), fds.begin(), fds.end());
  ASSIGN_OR_RETURN(helper.process, Spawn(request));
  return helper;
}

void Reap(const SpawnedProcess& process) {
  siginfo_t info;
  while (::waitid(P_PIDFD, static_cast<id_t>(process.pidfd.get()), &info, WEXITED) != 0 &&
         errno == EINTR) {
  }
}

// A process whose start failed has said so and ends: nobody else would read its end, and a pid
// namespace that it was in could not go before that.
void ReapFailed() {
  while (::waitpid(-1, nullptr, __WALL) > 0 || errno == EINTR) {
  }
}

// What a start into a user namespace left on its way (kEnterUserNamespace) has ended before the
// start was over.
void ReapLeft(pid_t started) {
  siginfo_t info = {};
  while (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0 &&
         info.si_pid != started) {
    ::waitpid(info.si_pid, nullptr, 0);
    info = {};
  }
}

template <typename T>
absl::StatusOr<T> Payload(const Packet& packet) {
  T value;
  if (packet.data.size() != sizeof(wire::Header) + sizeof(T))
    return absl::DataLossError("berth-monitor: answer of the wrong length");
  std::memcpy(&value, packet.data.data() + sizeof(wire::Header), sizeof(T));
  return value;
}

absl::StatusOr<Type> TypeOf(const Packet& packet) {
  wire::Header header;
  if (packet.data.size() < sizeof(header))
    return absl::DataLossError("berth-monitor: answer too short");
  std::memcpy(&header, packet.data.data(), sizeof(header));
  if (header.magic != wire::kProtocolMagic || header.version != wire::kProtocolVersion)
    return absl::FailedPreconditionError("berth-monitor: is not of this berth-oci's version");
  return static_cast<Type>(header.type);
}

absl::Status Answer(int socket, const absl::Status& result) {
  const struct {
    wire::Header header;
    wire::HooksDone done;
  } message = {.header = {.magic = wire::kProtocolMagic,
                          .version = wire::kProtocolVersion,
                          .type = static_cast<uint16_t>(Type::kHooksDone)},
               .done = {.error = result.ok() ? 0 : ECANCELED}};
  return SendPacket(
      socket, absl::string_view(reinterpret_cast<const char*>(&message), sizeof(message)), {});
}

// Answers questions until the process is there or has failed.
absl::StatusOr<Launched> Converse(const LaunchRequest& request, int socket) {
  absl::Status refused;  // by us: the reason that a user wants to read
  while (true) {
    ASSIGN_OR_RETURN(Packet packet, ReceivePacket(socket, absl::InfiniteFuture()));
    ASSIGN_OR_RETURN(const Type type, TypeOf(packet));
    if (type == Type::kError) {
      ASSIGN_OR_RETURN(const wire::ErrorReply reply, Payload<wire::ErrorReply>(packet));
      return refused.ok() ? LaunchFailure(*request.plan, reply) : refused;
    }
    ASSIGN_OR_RETURN(const wire::StartedReply reply, Payload<wire::StartedReply>(packet));
    if (type == Type::kHooksDue) {
      refused = request.run_hooks ? request.run_hooks(reply.pid) : absl::OkStatus();
    } else if (type == Type::kSeccompListener && packet.fds.size() == 1) {
      refused = request.take_seccomp_listener
                    ? request.take_seccomp_listener(reply.pid, std::move(packet.fds[0]))
                    : absl::UnimplementedError("seccomp: nobody takes the listener");
    } else if (type == Type::kStarted) {
      Launched launched = {.pid = reply.pid};
      if (!packet.fds.empty()) launched.terminal = std::move(packet.fds[0]);
      return launched;
    } else {
      return absl::DataLossError("berth-monitor: unexpected answer");
    }
    RETURN_IF_ERROR(Answer(socket, refused));
  }
}

std::string MapText(const std::vector<IdMapping>& mappings) {
  std::string text;
  for (const IdMapping& one : mappings) {
    absl::StrAppend(&text, one.container_id, " ", one.host_id, " ", one.length, "\n");
  }
  return text;
}

LaunchPlan Part(const LaunchPlan& plan, size_t from, size_t to) {
  LaunchPlan part;
  part.steps.assign(plan.steps.begin() + static_cast<std::ptrdiff_t>(from),
                    plan.steps.begin() + static_cast<std::ptrdiff_t>(to));
  return part;
}

}  // namespace

size_t ExecuteFrom(const LaunchPlan& plan) {
  // These stand between the process's identity and its exec. seccomp(2) is among them with
  // no_new_privs only: then no filter is there yet that could forbid to read from the fifo. A
  // listener is for `create` to hand over.
  size_t from = plan.steps.size();
  while (from > 0) {
    const PlanStep& step = plan.steps[from - 1];
    const Op op = step.op;
    const bool filter = op == Op::kSeccomp && !(step.a & SECCOMP_FILTER_FLAG_NEW_LISTENER);
    const bool late = filter || op == Op::kExec || op == Op::kHook || op == Op::kNoNewPrivs;
    if (!late) break;
    --from;
  }
  return from;
}

absl::Status LaunchFailure(const LaunchPlan& plan, const wire::ErrorReply& reply) {
  const std::string call(reply.call, strnlen(reply.call, sizeof(reply.call)));
  if (reply.step < 0 || static_cast<size_t>(reply.step) >= plan.steps.size())
    return ErrnoStatus("start", call, reply.error);
  const PlanStep& step = plan.steps[static_cast<size_t>(reply.step)];
  if (step.op != Op::kExec) {
    return ErrnoStatus(call, absl::StrCat("(", DescribeStep(step), ")"), reply.error);
  }
  const std::string& file = step.strings[0];
  const char* cause = reply.error == ENOENT && !absl::StrContains(file, '/')
                          ? "executable file not found in $PATH"
                          : std::strerror(reply.error);
  return absl::Status(
      reply.error == ENOENT ? absl::StatusCode::kNotFound : absl::ErrnoToStatusCode(reply.error),
      absl::StrCat("exec: \"", file, "\": ", cause));
}

absl::StatusOr<Launched> Launch(const LaunchRequest& request) {
  const size_t from = ExecuteFrom(*request.plan);
  ASSIGN_OR_RETURN(const UniqueFd prepare, PlanFd(Part(*request.plan, 0, from)));
  ASSIGN_OR_RETURN(const UniqueFd execute,
                   PlanFd(Part(*request.plan, from, request.plan->steps.size())));
  std::vector<int> fds = {prepare.get(), execute.get()};
  fds.insert(fds.end(), request.fds.begin(), request.fds.end());
  ASSIGN_OR_RETURN(Helper helper,
                   SpawnHelper(request.monitor,
                               {"berth-monitor", "--oci", absl::StrCat(request.clone_flags),
                                absl::StrCat(request.fds.size()), absl::StrCat(request.cgroup),
                                absl::StrCat(request.pid_namespace),
                                absl::StrCat(request.container), absl::StrCat(request.start),
                                absl::StrCat(request.result), request.new_keyring ? "1" : "0"},
                               fds));
  absl::StatusOr<Launched> launched = Converse(request, helper.socket.get());
  helper.socket.reset();  // what still waits for an answer gets none
  Reap(helper.process);
  if (launched.ok()) {
    ReapLeft(launched->pid);
  } else {
    ReapFailed();
  }
  return launched;
}

absl::StatusOr<UniqueFd> MakeUserNamespace(int monitor, const UserNamespace& user) {
  ASSIGN_OR_RETURN(const Helper helper, SpawnHelper(monitor,
                                                    {"berth-monitor", "--oci-user-namespace",
                                                     MapText(user.uids), MapText(user.gids)},
                                                    {}));
  absl::StatusOr<Packet> packet = ReceivePacket(helper.socket.get(), absl::InfiniteFuture());
  Reap(helper.process);
  if (!packet.ok()) return packet.status();
  ASSIGN_OR_RETURN(const Type type, TypeOf(*packet));
  if (type == Type::kError) {
    ASSIGN_OR_RETURN(const wire::ErrorReply reply, Payload<wire::ErrorReply>(*packet));
    return LaunchFailure({}, reply);
  }
  if (packet->fds.size() != 1) return absl::DataLossError("berth-monitor: no user namespace came");
  return std::move(packet->fds[0]);
}

}  // namespace berth::oci
