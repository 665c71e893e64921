// The expressions of one nftables rule, evaluated in the order of the calls; a match that fails
// ends the rule. Made by NftTransaction::AddRule.
#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "src/kernel/ip_address.h"
#include "src/kernel/rtnetlink.h"

namespace berth {

// A map from where a packet goes to where it shall go: [address,] protocol and port to address and
// port, all of one family.
struct NftDestinationMap {
  absl::string_view name;
  int family = 0;            // AF_INET or AF_INET6
  bool has_address = false;  // the key begins with the packet's destination address
};

class NftRule {
 public:
  explicit NftRule(nlmsghdr* request) : request_(request) {}
  NftRule& MatchSource(const IpPrefix& source);
  NftRule& MatchDestination(const IpPrefix& destination);
  NftRule& MatchInputInterface(absl::string_view name);
  NftRule& MatchInputInterfacePrefix(absl::string_view prefix);
  NftRule& MatchOutputInterface(absl::string_view name);
  NftRule& MatchOutputInterfaceNot(absl::string_view name);
  // Bridge family.
  NftRule& MatchEthernetDestination(const MacAddress& destination);
  // The destination is an address of this host, loopback included.
  NftRule& MatchLocalDestination();
  // The destination as the connection's first packet had it, before a rule rewrote it, is a key of
  // the map; only for connections whose destination was rewritten.
  NftRule& MatchRewrittenFrom(const NftDestinationMap& map);

  NftRule& Drop();
  NftRule& Return();
  NftRule& Jump(absl::string_view chain);
  NftRule& Masquerade();
  // Rewrites the destination to what the map has for it; a packet that it has nothing for goes on.
  NftRule& RewriteDestination(const NftDestinationMap& map);

 private:
  void Expression(absl::string_view name, absl::FunctionRef<void()> put_data);
  void Meta(uint32_t key, uint32_t into);
  void Payload(uint32_t base, uint32_t offset, uint32_t size, uint32_t into);
  void Connection(uint32_t key, bool original, uint32_t into);
  void Compare(uint32_t operation, const void* data, size_t size);
  void Mask(const void* mask, size_t size);
  void Lookup(const NftDestinationMap& map);
  void Verdict(int code, absl::string_view chain = {});
  void MatchFamily(int family);
  NftRule& MatchAddress(const IpPrefix& prefix, bool source);
  NftRule& MatchInterface(uint32_t key, uint32_t operation, absl::string_view name);
  nlmsghdr* const request_;
};

}  // namespace berth
