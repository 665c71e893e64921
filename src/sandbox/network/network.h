// How a pod gets its network: the seam between pods and the networks that a node can have, the
// built-in bridge (bridge.h) and CNI plugins (cni_network.h). Thread-safe; Attach and Detach of one
// pod must not overlap.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/unique_fd.h"

namespace berth {

enum class PortProtocol { kTcp, kUdp, kSctp };

struct PortMapping {
  PortProtocol protocol = PortProtocol::kTcp;
  uint16_t container_port = 0, host_port = 0;
  std::string host_ip;  // "" for all addresses of the node
};

struct PodDns {
  std::vector<std::string> servers, searches, options;
};

// A pod that wants a network. The descriptors are borrowed: `netns_fd` is its network namespace,
// `netlink_fd` a NETLINK_ROUTE socket that was opened inside it (so no thread here enters it). -1
// for a complete claim.
struct PodAttachment {
  std::string pod_id, name, pod_namespace, uid;
  std::string cgroup_parent;       // "" for the node's default
  std::vector<PortMapping> ports;  // only those with a host port
  PodDns dns;
  std::map<std::string, std::string> annotations;  // bandwidth: pod_bandwidth.h
  int netns_fd = -1, netlink_fd = -1;
};

// A pod that is about to be made.
struct PodBeginning {
  std::vector<PortMapping> ports;  // as in PodAttachment
  // Its network namespace may have been made before it, with the interface in it.
  bool made_in_advance = false;
};

struct NetworkClaim {
  std::string pod_id;     // what the pod must be called; "": whatever the caller likes
  UniqueFd netns;         // the pod's namespace; invalid: the pod's monitor makes it
  bool complete = false;  // it holds the pod's interface: Attach needs no descriptor
};

struct NetworkReadiness {
  bool ready = true;
  std::string message;  // why not, for people
};

class Network {
 public:
  virtual ~Network() = default;

  // The first step of a new pod: what must be refused is refused before anything is made of it, and
  // it may get a network that is ready. Followed by Attach or, where an id was given, by Detach.
  virtual absl::StatusOr<NetworkClaim> Begin(const PodBeginning&) { return NetworkClaim(); }

  // Gives the pod its interfaces and returns its addresses, the primary one first. What was
  // assigned is on record before anything is done. AlreadyExists: the pod is attached. Nothing is
  // left behind by a failure, or it is taken back in the background.
  virtual absl::StatusOr<std::vector<std::string>> Attach(const PodAttachment& pod) = 0;

  // Takes the network from the pod, or begins to. Idempotent; unknown pods are OK. An error means
  // that the caller should try again; whether it does or not, the network goes on trying.
  virtual absl::Status Detach(absl::string_view pod_id) = 0;

  // At start, before Reconcile: a pod that is attached, and runs.
  virtual void Adopt(absl::string_view /*pod_id*/, const std::vector<PortMapping>& /*ports*/) {}

  // At start: detaches whatever is on record for pods that are not in `live`.
  virtual void Reconcile(const absl::flat_hash_set<std::string>& live) = 0;

  // Removes what serves all pods if none is attached. FailedPrecondition: there are pods.
  virtual absl::Status RemoveIfUnused() = 0;

  // Whether a pod could be attached now; from memory.
  virtual NetworkReadiness Readiness() const = 0;

  // The subnets of the node's pods as the kubelet tells them. A network that has ranges of its own
  // goes on with those.
  virtual absl::Status SetPodCidrs(const std::vector<std::string>&) { return absl::OkStatus(); }

  // What is to be known about it beyond that, for people: JSON.
  virtual std::string Describe() const { return "{}"; }
};

}  // namespace berth
