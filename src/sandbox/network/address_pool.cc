#include "src/sandbox/network/address_pool.h"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace berth {
namespace {

// The highest number within a subnet, 0 when there is no room. IPv4 keeps its last address for
// broadcast.
uint32_t LastNumber(const IpPrefix& subnet) {
  const int bits = subnet.host_bits();
  if (bits < 2) return 0;
  const uint64_t addresses = uint64_t{1} << std::min(bits, 32);
  return static_cast<uint32_t>(addresses - (subnet.address.family == AF_INET ? 2 : 1));
}

}  // namespace

absl::StatusOr<AddressPool> AddressPool::Create(const IpPrefix& ipv4,
                                                const std::optional<IpPrefix>& ipv6) {
  std::vector<IpPrefix> subnets = {ipv4};
  if (ipv6) subnets.push_back(*ipv6);
  uint32_t last = UINT32_MAX;
  for (const IpPrefix& subnet : subnets) {
    const bool first = &subnet == subnets.data();
    if (subnet.address.family != (first ? AF_INET : AF_INET6)) {
      return absl::InvalidArgumentError(
          absl::StrCat("use subnet ", subnet.ToString(), ": not ", first ? "IPv4" : "IPv6"));
    }
    last = std::min(last, LastNumber(subnet));
    if (last <= kGateway) {
      return absl::InvalidArgumentError(
          absl::StrCat("use subnet ", subnet.ToString(), ": no room for pods"));
    }
  }
  return AddressPool(std::move(subnets), last);
}

absl::StatusOr<uint32_t> AddressPool::Take() {
  const uint32_t places = last_ - kGateway;
  if (held_.size() >= places) {
    return absl::ResourceExhaustedError(
        absl::StrCat("take address of ", subnets_[0].ToString(), ": all ", places, " are in use"));
  }
  while (true) {
    const uint32_t number = next_;
    next_ = number == last_ ? kGateway + 1 : number + 1;
    if (held_.insert(number).second) return number;
  }
}

std::optional<uint32_t> AddressPool::Hold(const IpAddress& address) {
  for (const IpPrefix& subnet : subnets_) {
    const auto number = IndexOf(subnet, address);
    if (!number.ok() || *number <= kGateway || *number > last_) continue;
    held_.insert(*number);
    // A restarted daemon goes on where it stopped, so that an address rests before it is used
    // again.
    next_ = std::max(next_, *number == last_ ? kGateway + 1 : *number + 1);
    return *number;
  }
  return std::nullopt;
}

std::vector<IpPrefix> AddressPool::AddressesOf(uint32_t number) const {
  std::vector<IpPrefix> addresses;
  for (const IpPrefix& subnet : subnets_) {
    addresses.push_back({.address = AddressAt(subnet, number), .length = subnet.length});
  }
  return addresses;
}

}  // namespace berth
