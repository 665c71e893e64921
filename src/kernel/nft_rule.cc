#include "src/kernel/nft_rule.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>

#include "src/kernel/nft_attributes.h"

namespace berth {
namespace {

// Registers of four bytes, in a row; NFT_REG_1 is the first four of them.
constexpr uint32_t kFirst = NFT_REG32_00;

uint32_t Words(int family) { return family == AF_INET ? 1 : 4; }

// Where the IP header has its addresses: RFC 791, RFC 8200.
uint32_t OffsetOf(int family, bool source) {
  if (family == AF_INET) return source ? 12 : 16;
  return source ? 8 : 24;
}

}  // namespace

void NftRule::Expression(absl::string_view name, absl::FunctionRef<void()> put_data) {
  nlattr* element = mnl_attr_nest_start(request_, NFTA_LIST_ELEM);
  PutNftString(request_, NFTA_EXPR_NAME, name);
  nlattr* data = mnl_attr_nest_start(request_, NFTA_EXPR_DATA);
  put_data();
  mnl_attr_nest_end(request_, data);
  mnl_attr_nest_end(request_, element);
}

void NftRule::Meta(uint32_t key, uint32_t into) {
  Expression("meta", [&] {
    PutNftU32(request_, NFTA_META_DREG, into);
    PutNftU32(request_, NFTA_META_KEY, key);
  });
}

void NftRule::Payload(uint32_t base, uint32_t offset, uint32_t size, uint32_t into) {
  Expression("payload", [&] {
    PutNftU32(request_, NFTA_PAYLOAD_DREG, into);
    PutNftU32(request_, NFTA_PAYLOAD_BASE, base);
    PutNftU32(request_, NFTA_PAYLOAD_OFFSET, offset);
    PutNftU32(request_, NFTA_PAYLOAD_LEN, size);
  });
}

void NftRule::Connection(uint32_t key, bool original, uint32_t into) {
  Expression("ct", [&] {
    PutNftU32(request_, NFTA_CT_DREG, into);
    PutNftU32(request_, NFTA_CT_KEY, key);
    if (original) mnl_attr_put_u8(request_, NFTA_CT_DIRECTION, IP_CT_DIR_ORIGINAL);
  });
}

void NftRule::Compare(uint32_t operation, const void* data, size_t size) {
  Expression("cmp", [&] {
    PutNftU32(request_, NFTA_CMP_SREG, kFirst);
    PutNftU32(request_, NFTA_CMP_OP, operation);
    PutNftValue(request_, NFTA_CMP_DATA, data, size);
  });
}

void NftRule::Mask(const void* mask, size_t size) {
  constexpr std::array<uint8_t, 16> kZero = {};
  Expression("bitwise", [&] {
    PutNftU32(request_, NFTA_BITWISE_SREG, kFirst);
    PutNftU32(request_, NFTA_BITWISE_DREG, kFirst);
    PutNftU32(request_, NFTA_BITWISE_LEN, size);
    PutNftValue(request_, NFTA_BITWISE_MASK, mask, size);
    PutNftValue(request_, NFTA_BITWISE_XOR, kZero.data(), size);
  });
}

void NftRule::Lookup(const NftDestinationMap& map) {
  Expression("lookup", [&] {
    PutNftString(request_, NFTA_LOOKUP_SET, map.name);
    PutNftU32(request_, NFTA_LOOKUP_SREG, kFirst);
    PutNftU32(request_, NFTA_LOOKUP_DREG, kFirst);
  });
}

void NftRule::Verdict(int code, absl::string_view chain) {
  Expression("immediate", [&] {
    PutNftU32(request_, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    nlattr* data = mnl_attr_nest_start(request_, NFTA_IMMEDIATE_DATA);
    nlattr* verdict = mnl_attr_nest_start(request_, NFTA_DATA_VERDICT);
    PutNftU32(request_, NFTA_VERDICT_CODE, static_cast<uint32_t>(code));
    if (!chain.empty()) PutNftString(request_, NFTA_VERDICT_CHAIN, chain);
    mnl_attr_nest_end(request_, verdict);
    mnl_attr_nest_end(request_, data);
  });
}

void NftRule::MatchFamily(int family) {
  const uint8_t protocol = family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6;
  Meta(NFT_META_NFPROTO, kFirst);
  Compare(NFT_CMP_EQ, &protocol, sizeof(protocol));
}

NftRule& NftRule::MatchAddress(const IpPrefix& prefix, bool source) {
  const IpAddress mask = prefix.Mask(), network = prefix.Network();
  const size_t size = prefix.address.size();
  MatchFamily(prefix.address.family);
  Payload(NFT_PAYLOAD_NETWORK_HEADER, OffsetOf(prefix.address.family, source), size, kFirst);
  Mask(mask.bytes.data(), size);
  Compare(NFT_CMP_EQ, network.bytes.data(), size);
  return *this;
}

NftRule& NftRule::MatchInterface(uint32_t key, uint32_t operation, absl::string_view name) {
  std::array<char, IFNAMSIZ> padded = {};
  name.copy(padded.data(), padded.size() - 1);
  Meta(key, kFirst);
  Compare(operation, padded.data(), padded.size());
  return *this;
}

NftRule& NftRule::MatchSource(const IpPrefix& source) { return MatchAddress(source, true); }

NftRule& NftRule::MatchDestination(const IpPrefix& destination) {
  return MatchAddress(destination, false);
}

NftRule& NftRule::MatchInputInterface(absl::string_view name) {
  return MatchInterface(NFT_META_IIFNAME, NFT_CMP_EQ, name);
}

// What is compared ends before the NUL.
NftRule& NftRule::MatchInputInterfacePrefix(absl::string_view prefix) {
  Meta(NFT_META_IIFNAME, kFirst);
  Compare(NFT_CMP_EQ, prefix.data(), prefix.size());
  return *this;
}

NftRule& NftRule::MatchEthernetDestination(const MacAddress& destination) {
  Payload(NFT_PAYLOAD_LL_HEADER, 0, destination.size(), kFirst);
  Compare(NFT_CMP_EQ, destination.data(), destination.size());
  return *this;
}

NftRule& NftRule::MatchOutputInterface(absl::string_view name) {
  return MatchInterface(NFT_META_OIFNAME, NFT_CMP_EQ, name);
}

NftRule& NftRule::MatchOutputInterfaceNot(absl::string_view name) {
  return MatchInterface(NFT_META_OIFNAME, NFT_CMP_NEQ, name);
}

NftRule& NftRule::MatchLocalDestination() {
  const uint32_t local = RTN_LOCAL;
  Expression("fib", [&] {
    PutNftU32(request_, NFTA_FIB_DREG, kFirst);
    PutNftU32(request_, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    PutNftU32(request_, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
  });
  Compare(NFT_CMP_EQ, &local, sizeof(local));
  return *this;
}

NftRule& NftRule::MatchRewrittenFrom(const NftDestinationMap& map) {
  const uint32_t rewritten = IPS_DST_NAT, none = 0;
  Connection(NFT_CT_STATUS, /*original=*/false, kFirst);
  Mask(&rewritten, sizeof(rewritten));
  Compare(NFT_CMP_NEQ, &none, sizeof(none));
  MatchFamily(map.family);
  uint32_t next = kFirst;
  if (map.has_address) {
    Connection(map.family == AF_INET ? NFT_CT_DST_IP : NFT_CT_DST_IP6, /*original=*/true, next);
    next += Words(map.family);
  }
  Meta(NFT_META_L4PROTO, next);
  Connection(NFT_CT_PROTO_DST, /*original=*/true, next + 1);
  Lookup(map);
  return *this;
}

NftRule& NftRule::Drop() {
  Verdict(NF_DROP);
  return *this;
}

NftRule& NftRule::Return() {
  Verdict(NFT_RETURN);
  return *this;
}

NftRule& NftRule::Jump(absl::string_view chain) {
  Verdict(NFT_JUMP, chain);
  return *this;
}

NftRule& NftRule::Masquerade() {
  Expression("masq", [] {});
  return *this;
}

NftRule& NftRule::RewriteDestination(const NftDestinationMap& map) {
  MatchFamily(map.family);
  uint32_t next = kFirst;
  if (map.has_address) {
    Payload(NFT_PAYLOAD_NETWORK_HEADER, OffsetOf(map.family, /*source=*/false),
            4 * Words(map.family), next);
    next += Words(map.family);
  }
  Meta(NFT_META_L4PROTO, next);
  // TCP, UDP and SCTP have the destination port at the same place.
  Payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, next + 1);
  Lookup(map);
  Expression("nat", [&] {
    PutNftU32(request_, NFTA_NAT_TYPE, NFT_NAT_DNAT);
    PutNftU32(request_, NFTA_NAT_FAMILY, map.family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6);
    PutNftU32(request_, NFTA_NAT_REG_ADDR_MIN, kFirst);
    PutNftU32(request_, NFTA_NAT_REG_PROTO_MIN, kFirst + Words(map.family));
  });
  return *this;
}

}  // namespace berth
