// IPv4 and IPv6 addresses and prefixes as values: parsed, printed, compared, counted from. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth {

struct IpAddress {
  int family = 0;                      // AF_INET or AF_INET6
  std::array<uint8_t, 16> bytes = {};  // network order; IPv4 uses the first four, the rest is zero

  // 4 or 16.
  int size() const;
  std::string ToString() const;
  friend bool operator==(const IpAddress&, const IpAddress&) = default;
};

struct IpPrefix {
  IpAddress address;  // an interface's own address, or a network when its host bits are zero
  int length = 0;     // bits

  IpAddress Mask() const;
  IpAddress Network() const;
  // Bits that number the hosts.
  int host_bits() const { return address.size() * 8 - length; }
  bool Contains(const IpAddress& other) const;
  // True when one of the two contains the other. False for different families.
  bool Overlaps(const IpPrefix& other) const;
  std::string ToString() const;
};

// "10.1.2.3" or "fd00::1". InvalidArgument for anything else.
absl::StatusOr<IpAddress> ParseIpAddress(absl::string_view text);

// A network such as "10.88.0.0/16". InvalidArgument, naming the right network, when host bits are
// set.
absl::StatusOr<IpPrefix> ParseSubnet(absl::string_view text);

// The `index`-th address of a network, counted in its low 32 bits; 0 is the network itself.
IpAddress AddressAt(const IpPrefix& network, uint32_t index);

// The inverse of AddressAt. NotFound when `address` is outside the network or beyond 32 bits.
absl::StatusOr<uint32_t> IndexOf(const IpPrefix& network, const IpAddress& address);

}  // namespace berth
