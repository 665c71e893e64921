// Messages of monitor_protocol.h as berthd sends and reads them. Only the monitor_*.cc files use
// this.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/kernel/cgroup.h"
#include "src/kernel/socket.h"
#include "src/runtime/launch_plan.h"
#include "src/runtime/monitor_protocol.h"

namespace berth {

std::string Message(wire::Type type);
template <typename T>
std::string Message(wire::Type type, const T& payload) {
  return Message(type).append(reinterpret_cast<const char*>(&payload), sizeof(payload));
}

void CopyId(absl::string_view id, char* out);

// Rounded up, so that a short timeout is not none; as much as the message can say.
uint32_t Milliseconds(absl::Duration timeout);

// DataLoss: of another length.
template <typename T>
absl::StatusOr<T> Payload(const Packet& packet) {
  T value;
  if (packet.data.size() != sizeof(wire::Header) + sizeof(T)) {
    return absl::DataLossError("monitor: answer of the wrong length");
  }
  std::memcpy(&value, packet.data.data() + sizeof(wire::Header), sizeof(T));
  return value;
}

// DataLoss: not of this protocol; FailedPrecondition: of another version.
absl::StatusOr<wire::Type> TypeOf(absl::string_view data);

// A kError as a status; `plan`, if not null, names the step that failed.
absl::Status ErrorFrom(const Packet& packet, const LaunchPlan* plan);

// The next packet, which is to be of type `wanted`; a kError is its status. Unavailable: the
// monitor has closed the connection. DeadlineExceeded.
absl::StatusOr<Packet> Receive(int socket, wire::Type wanted, absl::Time deadline,
                               const LaunchPlan* plan = nullptr);

// The v1 `tasks` files.
std::vector<int> TasksOf(const CgroupHandle& cgroup);

}  // namespace berth
