// nftables by netlink: tables, chains and rules from a small set of expressions, sent as one
// transaction. Talks to the kernel through libmnl alone. Families: always inet (IPv4 and IPv6 in
// one table).
#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/kernel/ip_address.h"
#include "src/kernel/netlink.h"

namespace berth {

// The expressions of one rule, evaluated in the order of the calls; a match that fails ends the
// rule.
class NftRule {
 public:
  explicit NftRule(nlmsghdr* request) : request_(request) {}
  NftRule& MatchSource(const IpPrefix& source);
  NftRule& MatchOutputInterfaceNot(absl::string_view name);
  NftRule& Masquerade();

 private:
  void Expression(absl::string_view name, absl::FunctionRef<void()> put_data);
  void Meta(uint32_t key);
  void Compare(uint32_t operation, const void* data, size_t size);
  nlmsghdr* const request_;
};

// Numbers of the kernel's NF_INET_* hooks.
enum class NftHook : uint32_t {
  kPrerouting = 0,
  kInput = 1,
  kForward = 2,
  kOutput = 3,
  kPostrouting = 4
};

// What nft(8) calls dstnat and srcnat; lower runs first.
inline constexpr int32_t kDestinationNatPriority = -100;
inline constexpr int32_t kSourceNatPriority = 100;

struct NftBaseChain {
  std::string name;
  std::string type;  // "filter", "nat", "route"
  NftHook hook;
  int32_t priority;
};

// Changes that become visible together or not at all.
class NftTransaction {
 public:
  NftTransaction();
  // `comment` is kept with the table, shown by `nft list tables`, and read back by
  // GetNftTableComment; at most 250 bytes. A table that exists is left as it is.
  void AddTable(absl::string_view name, absl::string_view comment);
  // With all that it holds. NotFound.
  void DeleteTable(absl::string_view name);
  void AddBaseChain(absl::string_view table, const NftBaseChain& chain);
  // Appends a rule; `build` adds its expressions.
  void AddRule(absl::string_view table, absl::string_view chain,
               absl::FunctionRef<void(NftRule&)> build);

  absl::Status Commit(NetlinkSocket& socket) &&;

 private:
  nlmsghdr* Begin(uint16_t type, uint16_t flags, absl::string_view call, absl::string_view object);
  NetlinkBatch batch_;
};

// The comment that AddTable gave, "" for a table without one. NotFound: no such table. `socket`:
// NETLINK_NETFILTER.
absl::StatusOr<std::string> GetNftTableComment(NetlinkSocket& socket, absl::string_view table);

}  // namespace berth
