#include "src/server/call.h"

#include <grpc/support/time.h>
#include <sys/socket.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/steady_time.h"

namespace berth {
namespace {

constexpr size_t kMaxMessageBytes = 4096;  // of a status, which travels in HTTP/2 headers

// Who calls: connections are handed to gRPC as descriptors, so that peer() is "fd:N" (see
// Listener).
std::string CallerOf(const grpc::ServerContextBase& context) {
  int fd = -1;
  ucred peer = {};
  socklen_t length = sizeof(peer);
  const std::string name = context.peer();
  if (!absl::SimpleAtoi(absl::StripPrefix(name, "fd:"), &fd) ||
      getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    return "unknown";
  }
  return absl::StrCat("pid=", peer.pid, ",uid=", peer.uid, ",gid=", peer.gid);
}

// One line. What a client sent may be in it, and be long: what is said of it stands at its ends.
std::string MessageOf(const absl::Status& status) {
  std::string message(status.message());
  if (message.size() > kMaxMessageBytes) {
    constexpr size_t kTail = kMaxMessageBytes / 4;
    message = absl::StrCat(message.substr(0, kMaxMessageBytes - kTail - 3), "...",
                           message.substr(message.size() - kTail));
  }
  for (char& c : message) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return message;
}

}  // namespace

absl::Time DeadlineOf(const grpc::ServerContext& context) {
  // Of gRPC's monotonic clock: the wall time of context.deadline() is another after a jump.
  const gpr_timespec deadline = context.raw_deadline();
  if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0)
    return absl::InfiniteFuture();
  const gpr_timespec left = gpr_time_sub(deadline, gpr_now(deadline.clock_type));
  return SteadyNow() + absl::Seconds(left.tv_sec) + absl::Nanoseconds(left.tv_nsec);
}

void Calls::AwaitIdle(absl::Time deadline) const {
  const auto idle = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return in_flight_ == 0; };
  absl::MutexLock lock(&mu_);
  AwaitUntil(mu_, absl::Condition(&idle), deadline);
}

Calls::InFlight Calls::ReadInFlight() const {
  absl::MutexLock lock(&mu_);
  return {.calls = in_flight_ - streams_, .streams = streams_};
}

grpc::Status Calls::ServeStream(absl::string_view operation, grpc::ServerContextBase* context,
                                absl::FunctionRef<absl::Status()> body) const {
  {
    absl::MutexLock lock(&mu_);
    ++streams_;
  }
  const auto done = absl::MakeCleanup([this] {
    absl::MutexLock lock(&mu_);
    --streams_;
  });
  return Serve(operation, context, body);
}

grpc::Status Calls::Serve(absl::string_view operation, grpc::ServerContextBase* context,
                          absl::FunctionRef<absl::Status()> body) const {
  const absl::Time begin = SteadyNow();
  {
    absl::MutexLock lock(&mu_);
    ++in_flight_;
  }
  const auto done = absl::MakeCleanup([this] {
    absl::MutexLock lock(&mu_);
    --in_flight_;
  });
  absl::Status status;
  try {
    status = body();
  } catch (const std::exception&
               error) {  // bad_alloc, or a library's: it ends this call, not the daemon
    status = absl::InternalError(error.what());
  }
  const std::string message = MessageOf(status);
  const absl::Duration took = SteadyNow() - begin;
  const std::string code = absl::StatusCodeToString(status.code());
  metrics_.CountOperation(operation, code, took);
  if (status.ok()) {
    if (log_.Writes(LogLevel::kDebug)) {
      log_.Debug("served", {{"operation", operation},
                            {"took", absl::FormatDuration(took)},
                            {"caller", CallerOf(*context)}});
    }
    return grpc::Status::OK;
  }
  log_.Warning("failed", {{"operation", operation},
                          {"code", code},
                          {"error", message},
                          {"took", absl::FormatDuration(took)},
                          {"caller", CallerOf(*context)}});
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message);
}

}  // namespace berth
