// Capability names and sets. A set is a mask: bit n is capability n of linux/capability.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace berth {

// What a container gets unless it asks otherwise: CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW
// SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE.
uint64_t DefaultCapabilities();

// The default changed by the lists of the CRI: ALL first, then single names; a name may have the
// prefix CAP_ and any case. InvalidArgument names an unknown one.
absl::StatusOr<uint64_t> ResolveCapabilities(const std::vector<std::string>& add,
                                             const std::vector<std::string>& drop);

// What this process could give away: its bounding set (capabilities(7)). A privileged container
// gets all of it.
uint64_t HeldCapabilities();

// "CAP_CHOWN,CAP_KILL"
std::string CapabilityNames(uint64_t set);

// As the OCI runtime specification writes them: "CAP_CHOWN", exactly. What has no name is left out.
std::vector<std::string> CapabilityList(uint64_t set);

}  // namespace berth
