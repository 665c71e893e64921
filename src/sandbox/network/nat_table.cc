#include "src/sandbox/network/nat_table.h"

#include <sys/socket.h>

#include "absl/strings/str_cat.h"

namespace berth {
namespace {

// Raised with every change of the rules below, so that a newer daemon replaces what an older one
// made.
constexpr int kRulesVersion = 2;

// Packets to one address of the host come before those to any.
constexpr NftDestinationMap kMaps[] = {
    {.name = "port4", .family = AF_INET, .has_address = true},
    {.name = "anyport4", .family = AF_INET, .has_address = false},
    {.name = "port6", .family = AF_INET6, .has_address = true},
    {.name = "anyport6", .family = AF_INET6, .has_address = false},
};
constexpr char kPortsChain[] = "ports";
constexpr char kGuardChain[] = "guard";
constexpr char kForwardChain[] = "forward";
constexpr char kPostroutingChain[] = "postrouting";

const NftDestinationMap& MapOf(const PublishedPort& port) {
  const bool has_address = port.address.family != 0;
  for (const NftDestinationMap& map : kMaps) {
    if (map.family == port.to.family && map.has_address == has_address) return map;
  }
  return kMaps[0];
}

std::string Comment(const NatTable& table) {
  std::string comment = absl::StrCat("pod network, rules ", kRulesVersion);
  for (const IpPrefix& subnet : table.subnets) absl::StrAppend(&comment, " ", subnet.ToString());
  if (table.isolated) absl::StrAppend(&comment, " isolated");
  return comment;
}

IpPrefix Loopback(int family) {
  IpPrefix loopback{.address = {.family = family}};
  if (family == AF_INET) {
    loopback.address.bytes[0] = 127;
    loopback.length = 8;
  } else {
    loopback.address.bytes[15] = 1;
    loopback.length = 128;
  }
  return loopback;
}

// Ports of the host, for packets from elsewhere and from the host itself.
void AddPortRules(NftTransaction& transaction, const std::string& name) {
  transaction.AddChain(name, kPortsChain);
  // Answers to it could not be routed: the kernel has no route_localnet for IPv6.
  transaction.AddRule(name, kPortsChain,
                      [](NftRule& rule) { rule.MatchDestination(Loopback(AF_INET6)).Return(); });
  for (const NftDestinationMap& map : kMaps) {
    transaction.AddMap(name, map);
    transaction.AddRule(name, kPortsChain, [&](NftRule& rule) { rule.RewriteDestination(map); });
  }
  for (const auto& [chain, hook] :
       {std::pair("prerouting", NftHook::kPrerouting), std::pair("output", NftHook::kOutput)}) {
    transaction.AddBaseChain(
        name, {.name = chain, .type = "nat", .hook = hook, .priority = kDestinationNatPriority});
    transaction.AddRule(name, chain,
                        [](NftRule& rule) { rule.MatchLocalDestination().Jump(kPortsChain); });
  }
}

// While a port of 127.0.0.1 leads to a pod the bridge has route_localnet: what pods send to or from
// such addresses must not get in by it.
void AddGuard(NftTransaction& transaction, const NatTable& table, const std::string& name) {
  transaction.AddBaseChain(name, {.name = kGuardChain,
                                  .type = "filter",
                                  .hook = NftHook::kPrerouting,
                                  .priority = kRawPriority});
  const IpPrefix loopback = Loopback(AF_INET);
  transaction.AddRule(name, kGuardChain, [&](NftRule& rule) {
    rule.MatchInputInterface(table.bridge).MatchDestination(loopback).Drop();
  });
  transaction.AddRule(name, kGuardChain, [&](NftRule& rule) {
    rule.MatchInputInterface(table.bridge).MatchSource(loopback).Drop();
  });
}

// Pods that send to each other by way of the host; frames between their ports the bridge drops
// itself.
void AddIsolation(NftTransaction& transaction, const NatTable& table, const std::string& name) {
  transaction.AddBaseChain(name, {.name = kForwardChain,
                                  .type = "filter",
                                  .hook = NftHook::kForward,
                                  .priority = kFilterPriority});
  transaction.AddRule(name, kForwardChain, [&](NftRule& rule) {
    rule.MatchInputInterface(table.bridge).MatchOutputInterface(table.bridge).Drop();
  });
}

void AddMasquerade(NftTransaction& transaction, const NatTable& table, const std::string& name) {
  transaction.AddBaseChain(name, {.name = kPostroutingChain,
                                  .type = "nat",
                                  .hook = NftHook::kPostrouting,
                                  .priority = kSourceNatPriority});
  const auto add = [&](absl::FunctionRef<void(NftRule&)> build) {
    transaction.AddRule(name, kPostroutingChain, build);
  };
  for (const IpPrefix& subnet : table.subnets) {
    add([&](NftRule& rule) {
      rule.MatchSource(subnet).MatchOutputInterfaceNot(table.bridge).Masquerade();
    });
    // A pod that reaches a pod through a port of the host gets its answers from the host, which
    // must therefore see them.
    for (const NftDestinationMap& map : kMaps) {
      if (map.family != subnet.address.family) continue;
      add([&](NftRule& rule) {
        rule.MatchSource(subnet)
            .MatchOutputInterface(table.bridge)
            .MatchRewrittenFrom(map)
            .Masquerade();
      });
    }
  }
  add([&](NftRule& rule) {
    rule.MatchSource(Loopback(AF_INET)).MatchOutputInterface(table.bridge).Masquerade();
  });
}

absl::Status Make(NetlinkSocket& nft, const NatTable& table,
                  const std::vector<PublishedPort>& ports, bool replace) {
  const std::string name = NatTableName(table.bridge);
  NftTransaction transaction;
  if (replace) transaction.DeleteTable(name);
  transaction.AddTable(name, Comment(table));
  AddPortRules(transaction, name);
  AddGuard(transaction, table, name);
  if (table.isolated) AddIsolation(transaction, table, name);
  AddMasquerade(transaction, table, name);
  for (const PublishedPort& port : ports) transaction.AddElement(name, MapOf(port), port);
  return std::move(transaction).Commit(nft);
}

}  // namespace

std::string NatTableName(absl::string_view bridge) { return absl::StrCat("berth-", bridge); }

absl::Status EnsureNatTable(NetlinkSocket& nft, const NatTable& table,
                            const std::vector<PublishedPort>& ports) {
  const auto found = GetNftTableComment(nft, NatTableName(table.bridge));
  if (found.ok() && *found == Comment(table)) return absl::OkStatus();
  if (!found.ok() && !absl::IsNotFound(found.status())) return found.status();
  return Make(nft, table, ports, /*replace=*/found.ok());
}

absl::Status ReplaceNatTable(NetlinkSocket& nft, const NatTable& table,
                             const std::vector<PublishedPort>& ports) {
  const auto found = GetNftTableComment(nft, NatTableName(table.bridge));
  if (!found.ok() && !absl::IsNotFound(found.status())) return found.status();
  return Make(nft, table, ports, /*replace=*/found.ok());
}

absl::Status AddPorts(NetlinkSocket& nft, const NatTable& table,
                      const std::vector<PublishedPort>& ports) {
  if (ports.empty()) return absl::OkStatus();
  NftTransaction transaction;
  for (const PublishedPort& port : ports)
    transaction.AddElement(NatTableName(table.bridge), MapOf(port), port);
  return std::move(transaction).Commit(nft);
}

absl::Status DeletePorts(NetlinkSocket& nft, const NatTable& table,
                         const std::vector<PublishedPort>& ports) {
  if (ports.empty()) return absl::OkStatus();
  NftTransaction transaction;
  for (const PublishedPort& port : ports)
    transaction.DeleteElement(NatTableName(table.bridge), MapOf(port), port);
  return std::move(transaction).Commit(nft);
}

absl::Status RemoveNatTable(NetlinkSocket& nft, absl::string_view bridge) {
  NftTransaction transaction;
  transaction.DeleteTable(NatTableName(bridge));
  const absl::Status status = std::move(transaction).Commit(nft);
  // Unimplemented: a kernel without nf_tables has none.
  return absl::IsNotFound(status) || absl::IsUnimplemented(status) ? absl::OkStatus() : status;
}

}  // namespace berth
