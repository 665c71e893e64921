// The addresses of one pod network, handed out next-fit. A pod has one number; its IPv4 and its
// IPv6 address are that number within each subnet (10.88.1.7 goes with fd88::107). Number 0 is the
// network, 1 the bridge. Pure; the owner keeps what is taken on disk. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "src/kernel/ip_address.h"

namespace berth {

class AddressPool {
 public:
  // InvalidArgument: the first subnet is not IPv4, the second not IPv6, or one has no room for a
  // pod.
  static absl::StatusOr<AddressPool> Create(const IpPrefix& ipv4,
                                            const std::optional<IpPrefix>& ipv6);

  // A number that nobody holds. ResourceExhausted: there is none.
  absl::StatusOr<uint32_t> Take();
  // Marks the number of an address as held, at start. Addresses of other subnets are none of ours:
  // nothing happens.
  std::optional<uint32_t> Hold(const IpAddress& address);
  // Numbers that nobody holds.
  size_t free() const { return last_ - kGateway - held_.size(); }
  void GiveBack(uint32_t number) { held_.erase(number); }

  // IPv4 first, with the subnet's prefix length.
  std::vector<IpPrefix> AddressesOf(uint32_t number) const;
  // The bridge's own.
  std::vector<IpPrefix> Gateways() const { return AddressesOf(kGateway); }
  const std::vector<IpPrefix>& subnets() const { return subnets_; }

 private:
  static constexpr uint32_t kGateway = 1;
  AddressPool(std::vector<IpPrefix> subnets, uint32_t last)
      : subnets_(std::move(subnets)), last_(last) {}

  std::vector<IpPrefix> subnets_;
  uint32_t last_;  // the highest number that a pod can have
  uint32_t next_ = kGateway + 1;
  absl::flat_hash_set<uint32_t> held_;
};

}  // namespace berth
