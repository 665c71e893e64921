#include "src/sandbox/network/report_filter.h"

#include "src/kernel/nftables.h"
#include "src/kernel/rtnetlink.h"
#include "src/sandbox/network/nat_table.h"

namespace berth {
namespace {

constexpr char kChain[] = "reports";
// Of ff02::16, all routers that know MLDv2: where its reports go and nothing else does.
constexpr MacAddress kReportsTo = {0x33, 0x33, 0, 0, 0, 0x16};

}  // namespace

absl::Status ReplaceReportFilter(NetlinkSocket& nft, absl::string_view bridge,
                                 absl::string_view link_prefix) {
  const std::string table = NatTableName(bridge);
  NftTransaction transaction(NftFamily::kBridge);
  // To delete what may not be there, it is made first.
  transaction.AddTable(table, "");
  transaction.DeleteTable(table);
  transaction.AddTable(table, "membership reports of pods go to no other pod");
  transaction.AddBaseChain(
      table,
      {.name = kChain, .type = "filter", .hook = NftHook::kPrerouting, .priority = kRawPriority});
  transaction.AddRule(table, kChain, [&](NftRule& rule) {
    rule.MatchInputInterfacePrefix(link_prefix).MatchEthernetDestination(kReportsTo).Drop();
  });
  return std::move(transaction).Commit(nft);
}

absl::Status RemoveReportFilter(NetlinkSocket& nft, absl::string_view bridge) {
  NftTransaction transaction(NftFamily::kBridge);
  transaction.DeleteTable(NatTableName(bridge));
  const absl::Status status = std::move(transaction).Commit(nft);
  return absl::IsNotFound(status) || absl::IsUnimplemented(status) ? absl::OkStatus() : status;
}

}  // namespace berth
