// Runs one berth-pull process to its end, on the calling thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/image/pull_cgroup.h"
#include "src/image/pull_protocol.h"

namespace berth {

struct PullProcess {
  std::string helper;              // path of berth-pull
  std::vector<std::string> env;    // proxies
  int work_dir = -1;               // fd 3 of the helper: an empty directory; to verify, the trees
  int layers_dir = -1;             // fd 4: the layers that exist
  PullCgroups* cgroups = nullptr;  // where the helper runs; null: where the daemon does
  std::string job;                 // a line of pull_protocol.h
  std::function<void(const PullProgress&)> progress;  // may be empty
  std::function<bool()> cancelled;                    // may be empty; polled every 100 ms
  // The next three may be empty. An error of `plan` ends the pull.
  std::function<absl::Status(const PullPlan&)> plan;
  std::function<void(const PulledLayer&)> layer;
  // What to tell the helper: asked after each message, when `wake_fd` is readable, every 100 ms.
  std::function<PullOrder()> next_order;
  int wake_fd = -1;  // borrowed
};

// The helper's result or error; Cancelled (the helper is then dead); ResourceExhausted if it
// reached the memory limit of its cgroup; Internal if it dies otherwise or talks nonsense.
absl::StatusOr<PulledImage> RunPull(const PullProcess& process);
absl::StatusOr<LayerVerification> RunVerification(const PullProcess& process);

}  // namespace berth
