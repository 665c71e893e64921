// Stopping and removing what a person named, with the pod of `berth run` following its container.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "src/cli/client.h"
#include "src/cli/targets.h"

namespace berth::cli {

inline constexpr absl::Duration kDefaultGrace = absl::Seconds(10);

// Idempotent. A container is killed after `grace`; the pod of `berth run` stops with its container,
// and its containers get `grace` too when the pod is named.
absl::Status StopTarget(Client& client, const Target& target, absl::Duration grace);

struct RemoveOptions {
  bool force = false;  // stop first what still runs, without grace; otherwise FailedPrecondition
  std::string socket;  // names the directory of the logs of run pods
};
absl::Status RemoveTarget(Client& client, const Target& target, const RemoveOptions& options);

// Stops and removes a pod of `berth run` together with its log directory.
absl::Status RemoveRunPod(Client& client, const std::string& pod_id, const std::string& uid,
                          const std::string& socket);

}  // namespace berth::cli
