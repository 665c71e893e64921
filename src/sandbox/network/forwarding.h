// The sysctls under /proc/sys/net that a pod network needs, in the network namespace of the calling
// thread.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace berth {

// False when the kernel runs without IPv6 (ipv6.disable=1).
bool HasIpv6();

// For an interface that pods can speak to: IPv6 on, router advertisements ignored, no address
// detection.
absl::Status PrepareIpv6(const std::string& interface);

struct ForwardingOptions {
  bool ipv6 = false;
  std::string except;  // interface whose acceptance of router advertisements is left alone
};
// Turns on the forwarding of packets where it is off. A host that forwards IPv6 ignores router
// advertisements and drops the routes learned from them; interfaces that accepted them go on doing
// so (accept_ra 2).
absl::Status EnableForwarding(const ForwardingOptions& options);

// Whether packets to and from 127.0.0.0/8 may go by the interface: only together with a packet
// filter that keeps others' out (route_localnet in the kernel's ip-sysctl.rst).
absl::Status SetRouteLocalnet(const std::string& interface, bool on);

}  // namespace berth
