// Traffic shaping by rtnetlink, as tc(8) sets it: builders that append requests to a batch.
#pragma once

#include <cstdint>

#include "src/kernel/netlink.h"

namespace berth {

struct TokenBucket {
  uint64_t bytes_per_second = 0;
  uint32_t burst_bytes = 0;  // may be sent at once; a packet that is larger is never sent
  uint32_t queue_bytes = 0;  // wait at most; what comes on top is dropped
};
// Everything that leaves by the interface. NotFound: the kernel has no tbf (or no such interface).
void AddTokenBucket(NetlinkBatch& batch, int index, const TokenBucket& bucket);

// What comes in by one interface leaves by another (an ifb), and comes in only then. NotFound: the
// kernel lacks ingress, cls_u32 or act_mirred.
void RedirectIncoming(NetlinkBatch& batch, int index, int through);

}  // namespace berth
