// Pods and containers as the benchmarks ask for them, and a pod that is removed when it goes out of
// scope.
#pragma once

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "cri/runtime/v1/api.pb.h"
#include "hack/benchmarks/peer.h"

namespace berth::bench {

// Every pod bears this label, so that one left behind by an earlier run is found and removed.
inline constexpr char kLabel[] = "berth.bench";

enum class Network { kHost, kPod };

struct PodOptions {
  Network network = Network::kHost;
  std::string cgroup_parent;  // empty: the runtime's own choice
  std::string log_directory;  // must exist
};

// A pod with a name of its own: no two calls give the same one.
runtime::v1::PodSandboxConfig PodConfig(const PodOptions& options);

// A container that runs `command` (empty: the image's own).
runtime::v1::ContainerConfig ContainerConfig(const std::string& name, const std::string& image,
                                             const std::vector<std::string>& command,
                                             Network network);

// Owns a running pod. Its destructor stops and removes the pod with all containers; what fails
// there is found again by RemoveLeftovers.
class ScopedPod {
 public:
  static absl::StatusOr<ScopedPod> Run(const Peer& peer, const PodOptions& options);

  ScopedPod(ScopedPod&& other) noexcept
      : peer_(other.peer_),
        id_(std::exchange(other.id_, "")),
        options_(std::move(other.options_)),
        config_(std::move(other.config_)) {}
  ScopedPod& operator=(ScopedPod&&) = delete;
  ~ScopedPod();

  const std::string& id() const { return id_; }

  absl::StatusOr<std::string> Create(const std::string& name, const std::string& image,
                                     const std::vector<std::string>& command) const;
  absl::StatusOr<std::string> CreateAndStart(const std::string& name, const std::string& image,
                                             const std::vector<std::string>& command) const;
  // Stops and removes the pod now; the destructor then has nothing to do.
  absl::Status Remove();

 private:
  ScopedPod(const Peer& peer, std::string id, PodOptions options,
            runtime::v1::PodSandboxConfig config)
      : peer_(&peer),
        id_(std::move(id)),
        options_(std::move(options)),
        config_(std::move(config)) {}

  const Peer* peer_;
  std::string id_;
  PodOptions options_;
  runtime::v1::PodSandboxConfig config_;
};

// Stops and removes every pod with our label.
absl::Status RemoveLeftovers(const Peer& peer);

}  // namespace berth::bench
