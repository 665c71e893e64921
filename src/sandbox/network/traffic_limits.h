// Limits of a pod's bandwidth, at the host's end of its link: the pod cannot lift them.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/kernel/netlink.h"
#include "src/kernel/rtnetlink.h"
#include "src/sandbox/network/pod_bandwidth.h"

namespace berth {

// The ifb through which the pod's own packets go when its egress is limited: "bti" and the first 12
// characters of the pod's id.
std::string ShaperName(absl::string_view pod_id);

// `link`: the host's end, in the namespace of `route`. What goes to the pod waits in the link's
// queue, what comes from it in an ifb's. FailedPrecondition: this kernel cannot. A failure leaves
// what was made to the removal of link and ifb.
absl::Status LimitBandwidth(NetlinkSocket& route, absl::string_view pod_id, const Link& link,
                            const PodBandwidth& limits);

}  // namespace berth
