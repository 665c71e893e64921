// nftables by netlink: tables, chains, maps and rules, sent as one transaction. Talks to the kernel
// through libmnl alone.
#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/kernel/ip_address.h"
#include "src/kernel/netlink.h"
#include "src/kernel/nft_rule.h"

namespace berth {

// kInet: IPv4 and IPv6 in one table. kBridge: frames between the ports of bridges.
enum class NftFamily : uint8_t { kInet, kBridge };

// Numbers of the kernel's NF_INET_* hooks; those of NF_BR_* are the same.
enum class NftHook : uint32_t {
  kPrerouting = 0,
  kInput = 1,
  kForward = 2,
  kOutput = 3,
  kPostrouting = 4
};

// What nft(8) calls raw, dstnat, filter and srcnat; lower runs first.
inline constexpr int32_t kRawPriority = -300;
inline constexpr int32_t kDestinationNatPriority = -100;
inline constexpr int32_t kFilterPriority = 0;
inline constexpr int32_t kSourceNatPriority = 100;

struct NftBaseChain {
  std::string name;
  std::string type;  // "filter", "nat", "route"
  NftHook hook;
  int32_t priority;
};

// One element of an NftDestinationMap.
struct NftDestination {
  IpAddress address;     // of the key; unused where the map's key has none
  uint8_t protocol = 0;  // IPPROTO_*
  uint16_t port = 0;
  IpAddress to;
  uint16_t to_port = 0;
};

// Changes that become visible together or not at all. All are of one family: a table of another is
// another one, whatever its name. Unimplemented at the commit: the kernel has not got it.
class NftTransaction {
 public:
  explicit NftTransaction(NftFamily family = NftFamily::kInet);
  // `comment` is kept with the table, shown by `nft list tables`, and read back by
  // GetNftTableComment; at most 250 bytes. A table that exists is left as it is.
  void AddTable(absl::string_view name, absl::string_view comment);
  // With all that it holds. NotFound.
  void DeleteTable(absl::string_view name);
  void AddBaseChain(absl::string_view table, const NftBaseChain& chain);
  // One that rules jump to.
  void AddChain(absl::string_view table, absl::string_view chain);
  void AddMap(absl::string_view table, const NftDestinationMap& map);
  // AlreadyExists: the key has another value.
  void AddElement(absl::string_view table, const NftDestinationMap& map,
                  const NftDestination& element);
  // NotFound.
  void DeleteElement(absl::string_view table, const NftDestinationMap& map,
                     const NftDestination& element);
  // Appends a rule; `build` adds its expressions.
  void AddRule(absl::string_view table, absl::string_view chain,
               absl::FunctionRef<void(NftRule&)> build);

  absl::Status Commit(NetlinkSocket& socket) &&;

 private:
  nlmsghdr* Begin(uint16_t type, uint16_t flags, absl::string_view call, absl::string_view object);
  void PutElement(nlmsghdr* request, absl::string_view table, const NftDestinationMap& map,
                  const NftDestination& element, bool with_value);
  const NftFamily family_;
  NetlinkBatch batch_;
  uint32_t maps_ = 0;
};

// The comment that AddTable gave to a table of the inet family, "" for one without. NotFound: no
// such table. `socket`: NETLINK_NETFILTER.
absl::StatusOr<std::string> GetNftTableComment(NetlinkSocket& socket, absl::string_view table);

}  // namespace berth
