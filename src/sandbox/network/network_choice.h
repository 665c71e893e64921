// Which of the node's networks a pod gets: CNI or the built-in one, by choice or, kAuto, CNI as
// soon as somebody has put a configuration into its directory. A pod stays with the one that it
// began with. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "src/sandbox/network/cni_network.h"
#include "src/sandbox/network/network.h"

namespace berth {

enum class NetworkMode { kAuto, kBuiltIn, kCni };

class NetworkChoice final : public Network {
 public:
  // Both must outlive it.
  NetworkChoice(NetworkMode mode, Network& built_in, CniNetwork& cni)
      : mode_(mode), built_in_(built_in), cni_(cni) {}

  // The claim always has an id: it is what the choice is remembered by.
  absl::StatusOr<NetworkClaim> Begin(const PodBeginning& beginning) override;
  absl::StatusOr<std::vector<std::string>> Attach(const PodAttachment& pod) override;
  absl::Status Detach(absl::string_view pod_id) override;
  void Adopt(absl::string_view pod_id, const std::vector<PortMapping>& ports) override;
  void Reconcile(const absl::flat_hash_set<std::string>& live) override;
  absl::Status RemoveIfUnused() override;
  NetworkReadiness Readiness() const override { return Now().Readiness(); }

  absl::Status SetPodCidrs(const std::vector<std::string>& cidrs) override;
  std::string Describe() const override { return cni_.Describe(); }

 private:
  // What a pod that begins now gets.
  Network& Now() const;

  const NetworkMode mode_;
  Network& built_in_;
  CniNetwork& cni_;
  absl::Mutex mu_;
  absl::flat_hash_map<std::string, Network*> begun_ ABSL_GUARDED_BY(mu_);  // until Attach
};

}  // namespace berth
