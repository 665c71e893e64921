#include "src/sandbox/network/traffic_limits.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/kernel/traffic_control.h"

namespace berth {
namespace {

constexpr char kShaperPrefix[] = "bti";
constexpr size_t kIdChars = 12;

// A burst of 20 ms keeps long-running flows at the rate and lets short answers pass at once; not
// less than a packet that the sender left unsegmented. The queue holds 50 ms.
constexpr uint64_t kBurstsPerSecond = 50, kQueuesPerSecond = 20;
constexpr uint64_t kLeastBurst = 64 << 10, kMostBurst = 1 << 30;

TokenBucket BucketFor(uint64_t bits_per_second) {
  const uint64_t bytes_per_second = std::max<uint64_t>(bits_per_second / 8, 1);
  const uint64_t burst = std::clamp(bytes_per_second / kBurstsPerSecond, kLeastBurst, kMostBurst);
  const uint64_t queue = std::min(bytes_per_second / kQueuesPerSecond, kMostBurst);
  return {.bytes_per_second = bytes_per_second,
          .burst_bytes = static_cast<uint32_t>(burst),
          .queue_bytes = static_cast<uint32_t>(burst + queue)};
}

absl::Status LimitEgress(NetlinkSocket& route, const std::string& shaper, const Link& link,
                         uint64_t bits_per_second) {
  NetlinkBatch create;
  AddIfb(create, shaper);
  RETURN_IF_ERROR(route.Run(std::move(create)));
  ASSIGN_OR_RETURN(const Link made, GetLink(route, shaper));
  NetlinkBatch redirect;
  AddTokenBucket(redirect, made.index, BucketFor(bits_per_second));
  SetLink(redirect, shaper, {.up = true, .mtu = link.mtu, .no_ipv6_address = true});
  RedirectIncoming(redirect, link.index, made.index);
  return route.Run(std::move(redirect));
}

}  // namespace

std::string ShaperName(absl::string_view pod_id) {
  return absl::StrCat(kShaperPrefix, pod_id.substr(0, kIdChars));
}

absl::Status LimitBandwidth(NetlinkSocket& route, absl::string_view pod_id, const Link& link,
                            const PodBandwidth& limits) {
  absl::Status limited;
  if (limits.ingress_bits != 0) {
    NetlinkBatch batch;
    AddTokenBucket(batch, link.index, BucketFor(limits.ingress_bits));
    limited = route.Run(std::move(batch));
  }
  if (limited.ok() && limits.egress_bits != 0)
    limited = LimitEgress(route, ShaperName(pod_id), link, limits.egress_bits);
  // What the kernel says when it has no such queue, filter or interface (rtnetlink(7)).
  if (!absl::IsNotFound(limited) && !absl::IsUnimplemented(limited)) return limited;
  return absl::FailedPreconditionError(
      absl::StrCat("limit bandwidth of pod ", pod_id, ": the kernel cannot: ", limited.message()));
}

}  // namespace berth
