// Which pod has which ports of the host. A port is held by a bound socket for as long as a pod has
// it, so that no process of the host takes it, and none loses traffic that was meant for it.
// Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/base/unique_fd.h"
#include "src/sandbox/network/nat_table.h"
#include "src/sandbox/network/network.h"

namespace berth {

class HostPorts {
 public:
  // `ipv6`: pods have IPv6 addresses. Sockets are made in the network namespace of the calling
  // thread.
  explicit HostPorts(bool ipv6) : ipv6_(ipv6) {}

  // Takes the ports for the pod, or none of them. FailedPrecondition, naming the port: another pod
  // or a process has it, or the address is none of this host. InvalidArgument: not an address.
  absl::Status Reserve(absl::string_view pod_id, const std::vector<PortMapping>& mappings);
  // The same for a pod that has them already: what cannot be held by a socket any more is told in
  // the returned status, and the pod has its ports all the same.
  absl::Status Restore(absl::string_view pod_id, const std::vector<PortMapping>& mappings);

  // Where the ports of the pod lead, now that it has addresses: at most one of each family.
  std::vector<PublishedPort> Publish(absl::string_view pod_id,
                                     const std::vector<IpAddress>& addresses);
  // Gives the ports back; returns what was published. Unknown pods: nothing.
  std::vector<PublishedPort> Release(absl::string_view pod_id);

  // Of all pods.
  std::vector<PublishedPort> Published() const;
  // One of them is a port of 127.0.0.0/8.
  bool AnyOnLoopback() const;
  bool Has(absl::string_view pod_id) const;
  size_t count() const;

 private:
  // A port of one family; an address of family 0 is all of them.
  struct Port {
    IpAddress address;
    int family = 0;
    uint8_t protocol = 0;
    uint16_t host_port = 0, container_port = 0;
    bool SamePlace(const Port& other) const;
    std::string ToString() const;
  };
  struct Entry {
    std::vector<Port> ports;
    std::vector<UniqueFd> sockets;
    std::vector<PublishedPort> published;
  };
  absl::StatusOr<std::vector<Port>> PortsOf(const std::vector<PortMapping>& mappings) const;
  absl::Status CheckUnused(absl::string_view pod_id, const std::vector<Port>& ports) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static absl::StatusOr<UniqueFd> Hold(const Port& port);
  // A process that berthd (or the one before it) starts has its sockets until the exec, so that a
  // port which was given back just now may still be taken.
  static absl::StatusOr<UniqueFd> HoldPatiently(const Port& port);

  const bool ipv6_;
  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, Entry> entries_ ABSL_GUARDED_BY(mu_);
  absl::Time last_release_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace berth
