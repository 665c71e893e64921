#include "src/kernel/ip_address.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace berth {
namespace {

// The low 32 bits of an address, in host order.
uint32_t LowBits(const IpAddress& address) {
  uint32_t low = 0;
  for (int i = address.size() - 4; i < address.size(); ++i) low = low << 8 | address.bytes[i];
  return low;
}

}  // namespace

int IpAddress::size() const { return family == AF_INET ? 4 : 16; }

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN] = "";
  ::inet_ntop(family, bytes.data(), text, sizeof(text));
  return text;
}

IpAddress IpPrefix::Mask() const {
  IpAddress mask{.family = address.family};
  for (int i = 0; i < address.size(); ++i) {
    const int bits = std::clamp(length - i * 8, 0, 8);
    mask.bytes[i] = static_cast<uint8_t>(0xff00 >> bits);
  }
  return mask;
}

IpAddress IpPrefix::Network() const {
  IpAddress network = Mask();
  for (int i = 0; i < address.size(); ++i) network.bytes[i] &= address.bytes[i];
  return network;
}

bool IpPrefix::Contains(const IpAddress& other) const {
  return other.family == address.family &&
         IpPrefix{.address = other, .length = length}.Network() == Network();
}

bool IpPrefix::Overlaps(const IpPrefix& other) const {
  return length <= other.length ? Contains(other.address) : other.Contains(address);
}

std::string IpPrefix::ToString() const { return absl::StrCat(address.ToString(), "/", length); }

absl::StatusOr<IpAddress> ParseIpAddress(absl::string_view text) {
  const std::string copy(text);
  for (const int family : {AF_INET, AF_INET6}) {
    IpAddress address{.family = family};
    if (::inet_pton(family, copy.c_str(), address.bytes.data()) == 1 &&
        copy.find('\0') == std::string::npos)
      return address;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("parse address \"", text, "\": not an IP address"));
}

absl::StatusOr<IpPrefix> ParseSubnet(absl::string_view text) {
  const size_t slash = text.find('/');
  const auto address = ParseIpAddress(text.substr(0, slash));
  const absl::string_view bits = slash == absl::string_view::npos ? "" : text.substr(slash + 1);
  const bool digits = std::all_of(bits.begin(), bits.end(), absl::ascii_isdigit);
  IpPrefix prefix;
  if (!address.ok() || !digits || !absl::SimpleAtoi(bits, &prefix.length) ||
      prefix.length > address->size() * 8) {
    return absl::InvalidArgumentError(
        absl::StrCat("parse subnet \"", text, "\": want ADDRESS/BITS, such as 10.88.0.0/16"));
  }
  prefix.address = *address;
  if (prefix.Network() != prefix.address) {
    prefix.address = prefix.Network();
    return absl::InvalidArgumentError(
        absl::StrCat("parse subnet \"", text, "\": bits beyond the prefix are set; the network is ",
                     prefix.ToString()));
  }
  return prefix;
}

IpAddress AddressAt(const IpPrefix& network, uint32_t index) {
  IpAddress address = network.address;
  const uint32_t low = LowBits(address) + index;
  for (int i = 0; i < 4; ++i) address.bytes[address.size() - 1 - i] = low >> (8 * i) & 0xff;
  return address;
}

absl::StatusOr<uint32_t> IndexOf(const IpPrefix& network, const IpAddress& address) {
  const uint32_t index = LowBits(address) - LowBits(network.address);
  if (!network.Contains(address) || AddressAt(network, index) != address) {
    return absl::NotFoundError(
        absl::StrCat("find ", address.ToString(), ": not a host of ", network.ToString()));
  }
  return index;
}

}  // namespace berth
