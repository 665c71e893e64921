#include "src/sandbox/network/masquerade.h"

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/kernel/nftables.h"

namespace berth {
namespace {

constexpr char kChain[] = "postrouting";
// Raised with every change of the rules below, so that a newer daemon replaces what an older one
// made.
constexpr int kRulesVersion = 1;

std::string Comment(const std::vector<IpPrefix>& subnets) {
  std::string comment = absl::StrCat("pod network, rules ", kRulesVersion);
  for (const IpPrefix& subnet : subnets) absl::StrAppend(&comment, " ", subnet.ToString());
  return comment;
}

}  // namespace

std::string TableName(absl::string_view bridge) { return absl::StrCat("berth-", bridge); }

absl::Status EnsureMasquerade(NetlinkSocket& nft, absl::string_view bridge,
                              const std::vector<IpPrefix>& subnets) {
  const std::string table = TableName(bridge);
  const std::string comment = Comment(subnets);
  const auto found = GetNftTableComment(nft, table);
  if (found.ok() && *found == comment) return absl::OkStatus();
  if (!found.ok() && !absl::IsNotFound(found.status())) return found.status();

  NftTransaction transaction;
  if (found.ok()) transaction.DeleteTable(table);
  transaction.AddTable(table, comment);
  transaction.AddBaseChain(table, {.name = kChain,
                                   .type = "nat",
                                   .hook = NftHook::kPostrouting,
                                   .priority = kSourceNatPriority});
  for (const IpPrefix& subnet : subnets) {
    transaction.AddRule(table, kChain, [&](NftRule& rule) {
      rule.MatchSource(subnet).MatchOutputInterfaceNot(bridge).Masquerade();
    });
  }
  return std::move(transaction).Commit(nft);
}

absl::Status RemoveMasquerade(NetlinkSocket& nft, absl::string_view bridge) {
  NftTransaction transaction;
  transaction.DeleteTable(TableName(bridge));
  const absl::Status status = std::move(transaction).Commit(nft);
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

}  // namespace berth
