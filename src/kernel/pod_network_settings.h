// The sysctls that every network namespace of a pod begins with, whoever makes it: the pod's
// monitor, or a built-in network in advance.
#pragma once

namespace berth {

struct NetworkSetting {
  const char* name;
  const char* value;
};

// Another pod's router advertisements must not turn its routes, its addresses are known to be
// unique, and what needs a capability elsewhere (low ports, ping) harms nobody in it.
inline constexpr NetworkSetting kPodNetworkSettings[] = {
    {"net.ipv6.conf.default.accept_ra", "0"},
    {"net.ipv6.conf.default.accept_dad", "0"},
    {"net.ipv4.ip_unprivileged_port_start", "0"},
    {"net.ipv4.ping_group_range", "0 2147483647"},
};

}  // namespace berth
