#include "src/sandbox/network/bridge.h"

#include <linux/netlink.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "src/base/status_macros.h"
#include "src/base/undo.h"
#include "src/kernel/netlink.h"
#include "src/kernel/rtnetlink.h"
#include "src/sandbox/network/address_pool.h"
#include "src/sandbox/network/forwarding.h"
#include "src/sandbox/network/host_bridge.h"
#include "src/sandbox/network/link_reaper.h"
#include "src/sandbox/network/masquerade.h"
#include "src/sandbox/network/pod_link.h"
#include "src/store/addresses.h"

namespace berth {
namespace {

constexpr char kLinkPrefix[] = "bth";
constexpr size_t kLinkIdChars = 12;
constexpr absl::Duration kRemovalTimeout = absl::Seconds(30);

bool IsHex(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
  });
}

bool IsHostLinkName(absl::string_view name) {
  return name.size() == sizeof(kLinkPrefix) - 1 + kLinkIdChars &&
         absl::StartsWith(name, kLinkPrefix) && IsHex(name.substr(sizeof(kLinkPrefix) - 1));
}

absl::StatusOr<AddressPool> MakePool(const BridgeNetwork::Options& options) {
  ASSIGN_OR_RETURN(const IpPrefix ipv4, ParseSubnet(options.ipv4_subnet));
  std::optional<IpPrefix> ipv6;
  if (!options.ipv6_subnet.empty()) {
    ASSIGN_OR_RETURN(ipv6, ParseSubnet(options.ipv6_subnet));
  }
  if (ipv6 && !HasIpv6()) {
    if (options.log != nullptr)
      options.log->Warning("pods get no IPv6: the kernel runs without it");
    ipv6.reset();
  }
  return AddressPool::Create(ipv4, ipv6);
}

std::vector<std::string> TextOf(const std::vector<IpPrefix>& addresses) {
  std::vector<std::string> text;
  text.reserve(addresses.size());
  for (const IpPrefix& address : addresses) text.push_back(address.address.ToString());
  return text;
}

// The host's side, in one place for one thread at a time: the kernel serialises these calls in any
// case (rtnl lock).
class HostSide {
 public:
  HostSide(std::string bridge, std::vector<IpPrefix> gateways, std::vector<IpPrefix> subnets,
           NetlinkSocket route, NetlinkSocket nft, const Log* log)
      : bridge_(std::move(bridge)),
        gateways_(std::move(gateways)),
        subnets_(std::move(subnets)),
        route_(std::move(route)),
        nft_(std::move(nft)),
        log_(log) {}

  // Makes the pod's veth as a port of the bridge, after the bridge and the table where they are
  // missing.
  absl::Status AddPodLink(absl::string_view pod_id, const IpAddress& ipv4, int netns_fd) {
    RETURN_IF_ERROR(Prepare());
    absl::Status status = MakeVeth(pod_id, ipv4, netns_fd);
    if (status.ok() || HasBridge()) return status;
    ready_.reset();  // somebody removed the bridge
    RETURN_IF_ERROR(Prepare());
    return MakeVeth(pod_id, ipv4, netns_fd);
  }

  // Names of our kind of link on the bridge.
  absl::StatusOr<std::vector<std::string>> PodLinks() {
    ASSIGN_OR_RETURN(const std::vector<Link> links, ListLinks(route_));
    const auto bridge = std::find_if(links.begin(), links.end(),
                                     [&](const Link& link) { return link.name == bridge_; });
    std::vector<std::string> names;
    if (bridge == links.end()) return names;
    for (const Link& link : links) {
      if (link.master == bridge->index && IsHostLinkName(link.name)) names.push_back(link.name);
    }
    return names;
  }

  absl::Status Remove() {
    ready_.reset();
    RETURN_IF_ERROR(RemoveBridge(route_, bridge_));
    if (!has_nat_) return absl::OkStatus();
    return RemoveMasquerade(nft_, bridge_);
  }

 private:
  // The table is looked at each time: firewall services flush all tables when they reload.
  absl::Status Prepare() {
    if (!ready_) {
      ASSIGN_OR_RETURN(ready_, EnsureBridge(route_, bridge_, gateways_));
    }
    if (!has_nat_) return absl::OkStatus();
    const absl::Status masquerade = EnsureMasquerade(nft_, bridge_, subnets_);
    if (!absl::IsUnimplemented(masquerade)) return masquerade;
    // A kernel without nf_tables' inet family: pods reach each other and the node, not the outside.
    has_nat_ = false;
    if (log_ != nullptr)
      log_->Warning("no masquerade: pods do not reach the outside",
                    {{"error", masquerade.message()}});
    return absl::OkStatus();
  }

  bool HasBridge() {
    const auto bridge = GetLink(route_, bridge_);
    return bridge.ok() && bridge->index == ready_->index;
  }

  absl::Status MakeVeth(absl::string_view pod_id, const IpAddress& ipv4, int netns_fd) {
    const std::string name = HostLinkName(pod_id);
    NetlinkBatch batch;
    AddVeth(batch, {.name = name,
                    .master = ready_->index,
                    .mtu = ready_->mtu,
                    .peer_name = kPodInterface,
                    .peer_netns_fd = netns_fd,
                    .peer_mac = MacFor(ipv4)});
    SetLink(batch, name,
            {.up = true, .alias = absl::StrCat("berth pod ", pod_id), .no_ipv6_address = true});
    return route_.Run(std::move(batch));
  }

  const std::string bridge_;
  const std::vector<IpPrefix> gateways_, subnets_;
  NetlinkSocket route_, nft_;
  const Log* log_;
  bool has_nat_ = true;
  std::optional<HostBridge> ready_;
};

class BridgeNetworkImpl : public BridgeNetwork {
 public:
  BridgeNetworkImpl(Options options, Database& database, AddressPool pool, HostSide host,
                    NetlinkSocket reaper_route)
      : options_(std::move(options)),
        database_(database),
        gateways_(pool.Gateways()),
        host_(std::move(host)),
        pool_(std::move(pool)),
        reaper_({.bridge = options_.bridge, .log = options_.log}, std::move(reaper_route),
                [this](const std::vector<LinkReaper::Job>& jobs) { return GiveBack(jobs); }) {}

  absl::Status Load();

  absl::StatusOr<std::vector<std::string>> Attach(const PodAttachment& pod) override;
  absl::Status Detach(absl::string_view pod_id) override;
  void Reconcile(const absl::flat_hash_set<std::string>& live) override;
  absl::Status RemoveIfUnused() override;
  NetworkReadiness Readiness() const override { return {}; }
  absl::Status WaitUntilReaped(absl::Duration timeout) override {
    return reaper_.WaitUntilIdle(timeout);
  }

 private:
  struct Lease {
    absl::flat_hash_set<uint32_t>
        numbers;                         // one, unless the subnets were changed while the pod lived
    std::vector<std::string> addresses;  // as in the database
    bool released = false;
  };

  absl::StatusOr<std::vector<IpPrefix>> Reserve(const std::string& pod_id);
  // On the reaper's thread.
  absl::Status GiveBack(const std::vector<LinkReaper::Job>& jobs);
  void Forget(absl::string_view pod_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Warn(absl::string_view message, absl::string_view pod_id, const absl::Status& cause) const;

  const Options options_;
  Database& database_;
  const std::vector<IpPrefix> gateways_;
  absl::Mutex host_mu_;
  HostSide host_ ABSL_GUARDED_BY(host_mu_);
  absl::Mutex mu_;
  AddressPool pool_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, Lease> leases_ ABSL_GUARDED_BY(mu_);
  LinkReaper reaper_;  // last: its thread uses what is above
};

absl::Status BridgeNetworkImpl::Load() {
  ASSIGN_OR_RETURN(const std::vector<AddressRow> rows, LoadAddressRows(database_));
  absl::MutexLock lock(&mu_);
  for (const AddressRow& row : rows) {
    Lease& lease = leases_[row.pod_id];
    lease.addresses.push_back(row.address);
    lease.released |= row.released;
    const auto address = ParseIpAddress(row.address);
    if (!address.ok())
      return absl::DataLossError(
          absl::StrCat("load address of pod ", row.pod_id, ": ", address.status().message()));
    if (const auto number = pool_.Hold(*address)) lease.numbers.insert(*number);
  }
  for (const auto& [pod_id, lease] : leases_) {
    if (lease.released) reaper_.Add({.link = HostLinkName(pod_id), .pod_id = pod_id});
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<IpPrefix>> BridgeNetworkImpl::Reserve(const std::string& pod_id) {
  std::vector<IpPrefix> addresses;
  std::vector<std::string> text;
  {
    absl::MutexLock lock(&mu_);
    if (const auto held = leases_.find(pod_id); held != leases_.end()) {
      return absl::AlreadyExistsError(
          absl::StrCat("attach pod ", pod_id, ": it holds ", held->second.addresses.front()));
    }
    ASSIGN_OR_RETURN(const uint32_t number, pool_.Take());
    addresses = pool_.AddressesOf(number);
    text = TextOf(addresses);
    leases_[pod_id] = {.numbers = {number}, .addresses = text};
  }
  if (absl::Status inserted = InsertAddressRows(database_, pod_id, text); !inserted.ok()) {
    absl::MutexLock lock(&mu_);
    Forget(pod_id);
    return inserted;
  }
  return addresses;
}

absl::StatusOr<std::vector<std::string>> BridgeNetworkImpl::Attach(const PodAttachment& pod) {
  const std::string& pod_id = pod.pod_id;
  if (!pod.ports.empty()) {
    return absl::UnimplementedError(absl::StrCat("attach pod ", pod_id, ": host port ",
                                                 pod.ports[0].host_port,
                                                 ": the built-in network has no host ports"));
  }
  if (pod_id.size() < kLinkIdChars || !IsHex(pod_id)) {
    return absl::InvalidArgumentError(absl::StrCat("attach pod \"", pod_id, "\": not a pod id"));
  }
  ASSIGN_OR_RETURN(const std::vector<IpPrefix> addresses, Reserve(pod_id));
  Undo undo;
  undo.Push([&] { Detach(pod_id).IgnoreError(); });
  {
    absl::MutexLock lock(&host_mu_);
    RETURN_IF_ERROR(host_.AddPodLink(pod_id, addresses[0].address, pod.netns_fd));
  }
  ASSIGN_OR_RETURN(const std::vector<IpPrefix> set,
                   ConfigurePodLink(pod.netlink_fd, addresses, gateways_));
  undo.Commit();
  return TextOf(set);
}

absl::Status BridgeNetworkImpl::Detach(absl::string_view pod_id) {
  std::vector<std::string> addresses;
  {
    absl::MutexLock lock(&mu_);
    const auto lease = leases_.find(pod_id);
    if (lease == leases_.end() || lease->second.released) return absl::OkStatus();
    lease->second.released = true;
    addresses = lease->second.addresses;
  }
  // Should this be lost, Reconcile finds the rows again: they belong to a pod that does not live.
  if (absl::Status marked = ReleaseAddressRows(database_, addresses); !marked.ok()) {
    Warn("release not recorded", pod_id, marked);
  }
  reaper_.Add({.link = HostLinkName(pod_id), .pod_id = std::string(pod_id)});
  return absl::OkStatus();
}

void BridgeNetworkImpl::Reconcile(const absl::flat_hash_set<std::string>& live) {
  std::vector<std::string> dead;
  absl::flat_hash_set<std::string> known_links;
  {
    absl::MutexLock lock(&mu_);
    for (const auto& [pod_id, lease] : leases_) {
      known_links.insert(HostLinkName(pod_id));
      if (!live.contains(pod_id)) dead.push_back(pod_id);
    }
  }
  for (const std::string& pod_id : live) known_links.insert(HostLinkName(pod_id));
  for (const std::string& pod_id : dead) Detach(pod_id).IgnoreError();

  const auto links = [&] {
    absl::MutexLock lock(&host_mu_);
    return host_.PodLinks();
  }();
  if (!links.ok()) return Warn("links not compared with pods", "", links.status());
  for (const std::string& link : *links) {
    if (!known_links.contains(link)) reaper_.Add({.link = link, .pod_id = ""});
  }
}

absl::Status BridgeNetworkImpl::RemoveIfUnused() {
  RETURN_IF_ERROR(reaper_.WaitUntilIdle(kRemovalTimeout));
  {
    absl::MutexLock lock(&mu_);
    if (!leases_.empty()) {
      return absl::FailedPreconditionError(absl::StrCat("remove network ", options_.bridge, ": ",
                                                        leases_.size(), " pods are attached"));
    }
  }
  absl::MutexLock lock(&host_mu_);
  return host_.Remove();
}

absl::Status BridgeNetworkImpl::GiveBack(const std::vector<LinkReaper::Job>& jobs) {
  std::vector<std::string> addresses;
  {
    absl::MutexLock lock(&mu_);
    for (const LinkReaper::Job& job : jobs) {
      const auto lease = leases_.find(job.pod_id);
      if (lease == leases_.end()) continue;
      addresses.insert(addresses.end(), lease->second.addresses.begin(),
                       lease->second.addresses.end());
    }
  }
  if (!addresses.empty()) RETURN_IF_ERROR(DeleteAddressRows(database_, addresses));
  absl::MutexLock lock(&mu_);
  for (const LinkReaper::Job& job : jobs) Forget(job.pod_id);
  return absl::OkStatus();
}

void BridgeNetworkImpl::Forget(absl::string_view pod_id) {
  const auto lease = leases_.find(pod_id);
  if (lease == leases_.end()) return;
  for (const uint32_t number : lease->second.numbers) pool_.GiveBack(number);
  leases_.erase(lease);
}

void BridgeNetworkImpl::Warn(absl::string_view message, absl::string_view pod_id,
                             const absl::Status& cause) const {
  if (options_.log == nullptr) return;
  options_.log->Warning(message, {{"bridge", options_.bridge},
                                  {"pod", std::string(pod_id)},
                                  {"error", std::string(cause.message())}});
}

}  // namespace

std::string HostLinkName(absl::string_view pod_id) {
  return absl::StrCat(kLinkPrefix, pod_id.substr(0, kLinkIdChars));
}

absl::StatusOr<std::unique_ptr<BridgeNetwork>> BridgeNetwork::Open(Options options,
                                                                   Database& database) {
  if (!IsInterfaceName(options.bridge)) {
    return absl::InvalidArgumentError(
        absl::StrCat("use bridge \"", options.bridge, "\": not an interface name"));
  }
  ASSIGN_OR_RETURN(AddressPool pool, MakePool(options));
  ASSIGN_OR_RETURN(NetlinkSocket route, NetlinkSocket::Open(NETLINK_ROUTE));
  ASSIGN_OR_RETURN(NetlinkSocket nft, NetlinkSocket::Open(NETLINK_NETFILTER));
  ASSIGN_OR_RETURN(NetlinkSocket reaper_route, NetlinkSocket::Open(NETLINK_ROUTE));
  HostSide host(options.bridge, pool.Gateways(), pool.subnets(), std::move(route), std::move(nft),
                options.log);
  auto network = std::make_unique<BridgeNetworkImpl>(std::move(options), database, std::move(pool),
                                                     std::move(host), std::move(reaper_route));
  RETURN_IF_ERROR(network->Load());
  return network;
}

}  // namespace berth
