#include "src/runtime/monitor_messages.h"

#include <algorithm>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"
#include "src/runtime/exec_failure.h"

namespace berth {

using wire::Type;

namespace {

// A runtime's or a hook's end, which the call names; the errno behind it says nothing more.
bool IsVerdict(absl::string_view call) {
  return absl::StartsWith(call, "hook ") || absl::StartsWith(call, "runtime ");
}

// An exec met its container's end.
bool FoundNobody(absl::string_view call, int error) {
  return error == ESRCH &&
         (call == "exec" || call == "enter pid namespace" || call == "join container");
}

absl::Status HookStatus(const PlanStep& step, const std::string& call) {
  const std::string path = step.strings.size() > 1 ? step.strings[1] : "";
  return absl::Status(
      call == "hook timed out" ? absl::StatusCode::kDeadlineExceeded : absl::StatusCode::kAborted,
      absl::StrCat("hook \"", path, "\": ", absl::StripPrefix(call, "hook "),
                   call == "hook timed out" ? absl::StrCat(" after ", step.c, " ms") : ""));
}

// EINVAL of mount_setattr(2), seen by people as what it means.
absl::Status IdmapStatus(const std::string& call, const PlanStep& step) {
  std::string object = "volume";
  if (step.op == wire::Op::kIdmapTree && !step.strings.empty()) object = step.strings[0];
  if (step.strings.size() > 3) object = step.strings[3];
  return absl::FailedPreconditionError(absl::StrCat(
      call, " ", object, ": its file system cannot be ID-mapped (no user namespace for this pod)"));
}

}  // namespace

std::string Message(Type type) {
  const wire::Header header = {.magic = wire::kProtocolMagic,
                               .version = wire::kProtocolVersion,
                               .type = static_cast<uint16_t>(type)};
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header));
}

void CopyId(absl::string_view id, char* out) {
  std::memcpy(out, id.data(), std::min<size_t>(id.size(), wire::kIdBytes));
}

uint32_t Milliseconds(absl::Duration timeout) {
  return static_cast<uint32_t>(
      std::clamp<int64_t>(absl::ToInt64Milliseconds(absl::Ceil(timeout, absl::Milliseconds(1))), 0,
                          std::numeric_limits<uint32_t>::max()));
}

absl::StatusOr<Type> TypeOf(absl::string_view data) {
  wire::Header header;
  if (data.size() < sizeof(header)) return absl::DataLossError("monitor: answer too short");
  std::memcpy(&header, data.data(), sizeof(header));
  if (header.magic != wire::kProtocolMagic)
    return absl::DataLossError("monitor: not the monitor protocol");
  if (header.version != wire::kProtocolVersion) {
    return absl::FailedPreconditionError(absl::StrCat("monitor: speaks protocol version ",
                                                      header.version, ", this berthd speaks ",
                                                      wire::kProtocolVersion));
  }
  return static_cast<Type>(header.type);
}

absl::Status ErrorFrom(const Packet& packet, const LaunchPlan* plan) {
  ASSIGN_OR_RETURN(const wire::ErrorReply reply, Payload<wire::ErrorReply>(packet));
  const std::string call(reply.call, strnlen(reply.call, sizeof(reply.call)));
  if (reply.error <= 0)
    return absl::DataLossError(absl::StrCat("monitor: ", call, ": an error without a cause"));
  if (FoundNobody(call, reply.error))
    return absl::FailedPreconditionError("exec: the container is not running");
  if (plan == nullptr || reply.step < 0 || static_cast<size_t>(reply.step) >= plan->steps.size()) {
    if (IsVerdict(call)) return absl::AbortedError(call);
    return ErrnoStatus("monitor", call, reply.error);
  }
  const PlanStep& step = plan->steps[reply.step];
  if (step.op == wire::Op::kExec) return ExecFailure(step.strings[0], reply.error);
  if (step.op == wire::Op::kHook && IsVerdict(call)) return HookStatus(step, call);
  if (absl::StartsWith(call, "id-map") && reply.error == EINVAL) return IdmapStatus(call, step);
  return ErrnoStatus(call, absl::StrCat("(", DescribeStep(step), ")"), reply.error);
}

absl::StatusOr<Packet> Receive(int socket, Type wanted, absl::Time deadline,
                               const LaunchPlan* plan) {
  absl::StatusOr<Packet> packet = ReceivePacket(socket, deadline);
  if (absl::IsUnavailable(packet.status()))
    return absl::UnavailableError("monitor: closed the connection");
  if (absl::IsDeadlineExceeded(packet.status()))
    return absl::DeadlineExceededError("monitor: does not answer");
  if (!packet.ok()) return packet.status();
  ASSIGN_OR_RETURN(const Type type, TypeOf(packet->data));
  if (type == Type::kError) return ErrorFrom(*packet, plan);
  if (type != wanted)
    return absl::DataLossError(absl::StrCat("monitor: unexpected answer ", static_cast<int>(type)));
  return packet;
}

std::vector<int> TasksOf(const CgroupHandle& cgroup) {
  std::vector<int> fds;
  for (const UniqueFd& tasks : cgroup.tasks) fds.push_back(tasks.get());
  return fds;
}

}  // namespace berth
