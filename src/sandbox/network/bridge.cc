#include "src/sandbox/network/bridge.h"

#include <linux/netlink.h>
#include <netinet/in.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "src/base/failpoint.h"
#include "src/base/id.h"
#include "src/base/ready_pool.h"
#include "src/base/status_macros.h"
#include "src/base/undo.h"
#include "src/kernel/conntrack.h"
#include "src/kernel/netlink.h"
#include "src/kernel/network_namespace.h"
#include "src/sandbox/network/address_pool.h"
#include "src/sandbox/network/forwarding.h"
#include "src/sandbox/network/host_ports.h"
#include "src/sandbox/network/host_side.h"
#include "src/sandbox/network/link_reaper.h"
#include "src/sandbox/network/pod_bandwidth.h"
#include "src/sandbox/network/pod_link.h"
#include "src/sandbox/network/ready_network.h"
#include "src/sandbox/network/table_watch.h"
#include "src/sandbox/network/traffic_limits.h"
#include "src/store/addresses.h"

namespace berth {
namespace {

constexpr size_t kLeastIdChars = 12;  // what names of links are made of
constexpr absl::Duration kRemovalTimeout = absl::Seconds(30);

bool IsPodId(absl::string_view id) {
  return id.size() >= kLeastIdChars && std::all_of(id.begin(), id.end(), [](unsigned char c) {
           return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
         });
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

std::vector<IpAddress> Bare(const std::vector<IpPrefix>& prefixes) {
  std::vector<IpAddress> addresses;
  for (const IpPrefix& prefix : prefixes) addresses.push_back(prefix.address);
  return addresses;
}

class BridgeNetworkImpl : public BridgeNetwork {
 public:
  BridgeNetworkImpl(Options options, Database& database, AddressPool pool)
      : options_(std::move(options)),
        database_(database),
        gateways_(pool.Gateways()),
        table_{.bridge = options_.bridge,
               .subnets = pool.subnets(),
               .isolated = options_.isolate_pods},
        host_ports_(/*ipv6=*/pool.subnets().size() > 1),
        pool_(std::move(pool)) {}

  absl::Status Start();

  absl::StatusOr<NetworkClaim> Begin(const PodBeginning& beginning) override;
  absl::StatusOr<std::vector<std::string>> Attach(const PodAttachment& pod) override;
  absl::Status Detach(absl::string_view pod_id) override;
  void Adopt(absl::string_view pod_id, const std::vector<PortMapping>& ports) override;
  void Reconcile(const absl::flat_hash_set<std::string>& live) override;
  absl::Status RemoveIfUnused() override;
  NetworkReadiness Readiness() const override { return {}; }
  absl::Status WaitUntilReaped(absl::Duration timeout) override {
    return reaper_->WaitUntilIdle(timeout);
  }
  Counts counts() const override;

 private:
  struct Lease {
    absl::flat_hash_set<uint32_t>
        numbers;                         // one, unless the subnets were changed while the pod lived
    std::vector<std::string> addresses;  // as in the database
    bool released = false;
    bool tracked = false;  // connections to it may be tracked that must not outlive it
  };
  // A network that a pod was given by Begin, before Attach.
  struct Promise {
    uint32_t number = 0;
  };

  absl::Status Load();
  // For the pool: leaves addresses for pods that do not take from it.
  absl::StatusOr<ReadyNetwork> MakeSpare();
  absl::StatusOr<ReadyNetwork> MakeReady();
  absl::StatusOr<ReadyNetwork> TakeOrMakeReady();
  void Drop(ReadyNetwork ready);
  absl::StatusOr<uint32_t> TakeNumber();
  // The addresses of a pod, committed. `ready`: the network was given by Begin.
  absl::StatusOr<std::vector<IpPrefix>> Reserve(const std::string& pod_id, bool* ready);
  absl::StatusOr<std::vector<IpPrefix>> Connect(const PodAttachment& pod);
  absl::Status Publish(const PodAttachment& pod, const std::vector<IpAddress>& addresses);
  void Unpublish(absl::string_view pod_id);
  // On the reaper's thread.
  absl::Status GiveBack(const std::vector<LinkReaper::Job>& jobs);
  void MendTable();
  void Forget(absl::string_view pod_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Warn(absl::string_view message, absl::string_view pod_id, const absl::Status& cause) const;
  static LinkReaper::Job RemovalOf(absl::string_view pod_id) {
    return {.links = {HostLinkName(pod_id), ShaperName(pod_id)}, .pod_id = std::string(pod_id)};
  }

  const Options options_;
  Database& database_;
  const std::vector<IpPrefix> gateways_;
  const NatTable table_;
  HostPorts host_ports_;
  absl::Mutex host_mu_;
  std::optional<HostSide> host_ ABSL_GUARDED_BY(host_mu_);
  absl::Mutex tracked_mu_;
  std::optional<NetlinkSocket> tracked_ ABSL_GUARDED_BY(tracked_mu_);  // for conntrack
  absl::Mutex mu_;
  AddressPool pool_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, Lease> leases_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, Promise> promises_ ABSL_GUARDED_BY(mu_);
  std::atomic<int64_t> taken_ready_ = 0, made_at_once_ = 0, table_mended_ = 0;
  // Last: their threads use what is above.
  std::unique_ptr<LinkReaper> reaper_;
  std::unique_ptr<ReadyPool<ReadyNetwork>> ready_;
  std::unique_ptr<TableWatch> watch_;
};

absl::Status BridgeNetworkImpl::Start() {
  uint32_t nft_port = 0;
  {
    absl::MutexLock lock(&host_mu_);
    ASSIGN_OR_RETURN(
        host_,
        HostSide::Open(
            {.table = table_, .gateways = gateways_, .mtu = options_.mtu, .log = options_.log},
            host_ports_));
    nft_port = host_->nft_port();
  }
  {
    absl::MutexLock lock(&tracked_mu_);
    ASSIGN_OR_RETURN(tracked_, NetlinkSocket::Open(NETLINK_NETFILTER));
  }
  ASSIGN_OR_RETURN(NetlinkSocket reaper_route, NetlinkSocket::Open(NETLINK_ROUTE));
  reaper_ = std::make_unique<LinkReaper>(
      LinkReaper::Options{.bridge = options_.bridge, .log = options_.log}, std::move(reaper_route),
      [this](const std::vector<LinkReaper::Job>& jobs) { return GiveBack(jobs); });
  ASSIGN_OR_RETURN(ready_,
                   ReadyPool<ReadyNetwork>::Create(
                       {.what = "pod network", .size = options_.pool_size, .log = options_.log},
                       [this] { return MakeSpare(); }));
  RETURN_IF_ERROR(Load());
  ASSIGN_OR_RETURN(
      watch_, TableWatch::Start(NatTableName(options_.bridge), nft_port, [this] { MendTable(); }));
  return absl::OkStatus();
}

absl::Status BridgeNetworkImpl::Load() {
  ASSIGN_OR_RETURN(const std::vector<AddressRow> rows, LoadAddressRows(database_));
  absl::MutexLock lock(&mu_);
  for (const AddressRow& row : rows) {
    Lease& lease = leases_[row.pod_id];
    lease.addresses.push_back(row.address);
    lease.released |= row.released;
    lease.tracked = true;  // it may have had host ports
    const auto address = ParseIpAddress(row.address);
    if (!address.ok())
      return absl::DataLossError(
          absl::StrCat("load address of pod ", row.pod_id, ": ", address.status().message()));
    if (const auto number = pool_.Hold(*address)) lease.numbers.insert(*number);
  }
  for (const auto& [pod_id, lease] : leases_) {
    if (lease.released) reaper_->Add(RemovalOf(pod_id));
  }
  return absl::OkStatus();
}

absl::StatusOr<ReadyNetwork> BridgeNetworkImpl::MakeSpare() {
  {
    absl::MutexLock lock(&mu_);
    if (pool_.free() <= options_.pool_size)
      return absl::ResourceExhaustedError("few addresses are left");
  }
  return MakeReady();
}

// A network for a pod that is not known yet. Its address has no row in the database: nobody can
// reach it while the host's end is down, and it dies with this process.
absl::StatusOr<ReadyNetwork> BridgeNetworkImpl::MakeReady() {
  ReadyNetwork ready{.id = NewId()};
  std::vector<IpPrefix> addresses;
  {
    absl::MutexLock lock(&mu_);
    ASSIGN_OR_RETURN(ready.number, pool_.Take());
    addresses = pool_.AddressesOf(ready.number);
  }
  Undo undo;
  undo.Push([&] { Drop(std::move(ready)); });
  RETURN_IF_FAULT("network.namespace");
  ASSIGN_OR_RETURN(MadeNamespace made, MakeNetworkNamespace(kPodNetworkSettings));
  {
    absl::MutexLock lock(&host_mu_);
    RETURN_IF_FAULT("network.link");
    RETURN_IF_ERROR(host_->AddLink(ready.id, addresses[0].address, made.netns.get()));
    ready.mtu = host_->mtu();
  }
  RETURN_IF_FAULT("network.configure");
  RETURN_IF_ERROR(ConfigurePodLink(made.netlink.get(), addresses, gateways_).status());
  ready.netns = std::move(made.netns);
  undo.Commit();
  return ready;
}

void BridgeNetworkImpl::Drop(ReadyNetwork ready) {
  {
    absl::MutexLock lock(&mu_);
    pool_.GiveBack(ready.number);
  }
  reaper_->Add({.links = {HostLinkName(ready.id)}, .pod_id = ""});
}

absl::StatusOr<ReadyNetwork> BridgeNetworkImpl::TakeOrMakeReady() {
  while (std::optional<ReadyNetwork> ready = ready_->Take()) {
    const uint32_t mtu = [&] {
      absl::MutexLock lock(&host_mu_);
      return host_->mtu();
    }();
    if (ready->mtu == mtu) {
      ++taken_ready_;
      return *std::move(ready);
    }
    Drop(*std::move(ready));
  }
  ++made_at_once_;
  absl::StatusOr<ReadyNetwork> made = MakeReady();
  if (made.ok()) ready_->Start();
  return made;
}

absl::StatusOr<NetworkClaim> BridgeNetworkImpl::Begin(const PodBeginning& beginning) {
  if (!beginning.made_in_advance) {
    NetworkClaim claim{.pod_id = NewId()};
    RETURN_IF_ERROR(host_ports_.Reserve(claim.pod_id, beginning.ports));
    return claim;
  }
  ASSIGN_OR_RETURN(ReadyNetwork ready, TakeOrMakeReady());
  if (absl::Status reserved = host_ports_.Reserve(ready.id, beginning.ports); !reserved.ok()) {
    ready_->PutBack(std::move(ready));
    return reserved;
  }
  absl::MutexLock lock(&mu_);
  promises_[ready.id] = {.number = ready.number};
  return NetworkClaim{
      .pod_id = std::move(ready.id), .netns = std::move(ready.netns), .complete = true};
}

// A network that waits for a pod gives way to a pod that is there.
absl::StatusOr<uint32_t> BridgeNetworkImpl::TakeNumber() {
  {
    absl::MutexLock lock(&mu_);
    absl::StatusOr<uint32_t> number = pool_.Take();
    if (!absl::IsResourceExhausted(number.status())) return number;
  }
  if (std::optional<ReadyNetwork> spare = ready_->Take()) Drop(*std::move(spare));
  absl::MutexLock lock(&mu_);
  return pool_.Take();
}

absl::StatusOr<std::vector<IpPrefix>> BridgeNetworkImpl::Reserve(const std::string& pod_id,
                                                                 bool* ready) {
  std::optional<uint32_t> number;
  {
    absl::MutexLock lock(&mu_);
    if (const auto held = leases_.find(pod_id); held != leases_.end()) {
      return absl::AlreadyExistsError(
          absl::StrCat("attach pod ", pod_id, ": it holds ", held->second.addresses.front()));
    }
    if (const auto promise = promises_.find(pod_id); promise != promises_.end()) {
      number = promise->second.number;
      promises_.erase(promise);
    }
  }
  *ready = number.has_value();
  if (!number) {
    ASSIGN_OR_RETURN(number, TakeNumber());
  }
  std::vector<IpPrefix> addresses;
  std::vector<std::string> text;
  {
    absl::MutexLock lock(&mu_);
    addresses = pool_.AddressesOf(*number);
    text = TextOf(addresses);
    leases_[pod_id] = {.numbers = {*number}, .addresses = text};
  }
  if (absl::Status inserted = InsertAddressRows(database_, pod_id, text); !inserted.ok()) {
    absl::MutexLock lock(&mu_);
    Forget(pod_id);
    return inserted;
  }
  return addresses;
}

absl::StatusOr<std::vector<IpPrefix>> BridgeNetworkImpl::Connect(const PodAttachment& pod) {
  bool ready = false;
  ASSIGN_OR_RETURN(std::vector<IpPrefix> addresses, Reserve(pod.pod_id, &ready));
  if (ready) return addresses;
  {
    absl::MutexLock lock(&host_mu_);
    RETURN_IF_ERROR(host_->AddLink(pod.pod_id, addresses[0].address, pod.netns_fd));
  }
  return ConfigurePodLink(pod.netlink_fd, addresses, gateways_);
}

absl::StatusOr<std::vector<std::string>> BridgeNetworkImpl::Attach(const PodAttachment& pod) {
  if (!IsPodId(pod.pod_id)) {
    return absl::InvalidArgumentError(
        absl::StrCat("attach pod \"", pod.pod_id, "\": not a pod id"));
  }
  ASSIGN_OR_RETURN(const PodBandwidth bandwidth, ParsePodBandwidth(pod.annotations));
  Undo undo;
  const absl::StatusOr<std::vector<IpPrefix>> addresses = Connect(pod);
  // The pod that is attached already must stay so.
  if (absl::IsAlreadyExists(addresses.status())) return addresses.status();
  undo.Push([&] { Detach(pod.pod_id).IgnoreError(); });
  if (!addresses.ok()) return addresses.status();
  {
    absl::MutexLock lock(&host_mu_);
    RETURN_IF_ERROR(host_->Limit(pod.pod_id, bandwidth));
    RETURN_IF_FAULT("network.up");
    RETURN_IF_ERROR(host_->SetLinkUp(pod.pod_id));
  }
  RETURN_IF_ERROR(Publish(pod, Bare(*addresses)));
  undo.Commit();
  return TextOf(*addresses);
}

absl::Status BridgeNetworkImpl::Publish(const PodAttachment& pod,
                                        const std::vector<IpAddress>& addresses) {
  if (pod.ports.empty()) return absl::OkStatus();
  {
    absl::MutexLock lock(&mu_);
    leases_[pod.pod_id].tracked = true;
  }
  const std::vector<PublishedPort> ports = host_ports_.Publish(pod.pod_id, addresses);
  {
    absl::MutexLock lock(&host_mu_);
    RETURN_IF_FAULT("network.ports");
    RETURN_IF_ERROR(host_->AddHostPorts(pod.pod_id, ports));
  }
  // Who sent datagrams to the port while nobody had it goes on being sent nowhere otherwise.
  absl::MutexLock lock(&tracked_mu_);
  for (const PublishedPort& port : ports) {
    if (port.protocol != IPPROTO_UDP) continue;
    RETURN_IF_ERROR(DeleteConntrack(
        *tracked_, {.family = port.to.family, .protocol = IPPROTO_UDP, .port = port.port}));
  }
  return absl::OkStatus();
}

void BridgeNetworkImpl::Unpublish(absl::string_view pod_id) {
  const std::vector<PublishedPort> ports = host_ports_.Release(pod_id);
  if (ports.empty()) return;
  absl::MutexLock lock(&host_mu_);
  if (absl::Status deleted = host_->DeleteHostPorts(ports); !deleted.ok())
    Warn("host ports not taken away", pod_id, deleted);
}

absl::Status BridgeNetworkImpl::Detach(absl::string_view pod_id) {
  Unpublish(pod_id);
  std::vector<std::string> addresses;
  {
    absl::MutexLock lock(&mu_);
    if (const auto promise = promises_.find(pod_id); promise != promises_.end()) {
      pool_.GiveBack(promise->second.number);
      promises_.erase(promise);
      reaper_->Add({.links = {HostLinkName(pod_id)}, .pod_id = ""});
      return absl::OkStatus();
    }
    const auto lease = leases_.find(pod_id);
    if (lease == leases_.end() || lease->second.released) return absl::OkStatus();
    lease->second.released = true;
    addresses = lease->second.addresses;
  }
  // Should this be lost, Reconcile finds the rows again: they belong to a pod that does not live.
  if (absl::Status marked = ReleaseAddressRows(database_, addresses); !marked.ok()) {
    Warn("release not recorded", pod_id, marked);
  }
  reaper_->Add(RemovalOf(pod_id));
  return absl::OkStatus();
}

void BridgeNetworkImpl::Adopt(absl::string_view pod_id, const std::vector<PortMapping>& ports) {
  if (ports.empty()) return;
  std::vector<IpAddress> addresses;
  {
    absl::MutexLock lock(&mu_);
    const auto lease = leases_.find(pod_id);
    if (lease == leases_.end()) return;
    for (const std::string& text : lease->second.addresses) {
      if (const auto address = ParseIpAddress(text); address.ok()) addresses.push_back(*address);
    }
  }
  const absl::Status restored = host_ports_.Restore(pod_id, ports);
  if (!restored.ok()) Warn("a host port of a pod is not held any more", pod_id, restored);
  host_ports_.Publish(pod_id, addresses);
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

  absl::Status adopted;
  const auto links = [&] {
    absl::MutexLock lock(&host_mu_);
    adopted = host_->Adopt();
    return host_->PodLinks();
  }();
  if (!adopted.ok()) Warn("network not as configured", "", adopted);
  if (!links.ok()) return Warn("links not compared with pods", "", links.status());
  for (const std::string& link : *links) {
    if (!known_links.contains(link)) reaper_->Add({.links = {link}, .pod_id = ""});
  }
  if (!live.empty()) ready_->Start();
}

absl::Status BridgeNetworkImpl::RemoveIfUnused() {
  for (ReadyNetwork& ready : ready_->Drain()) Drop(std::move(ready));
  RETURN_IF_ERROR(reaper_->WaitUntilIdle(kRemovalTimeout));
  {
    absl::MutexLock lock(&mu_);
    if (const size_t pods = leases_.size() + promises_.size(); pods > 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("remove network ", options_.bridge, ": ", pods, " pods are attached"));
    }
  }
  absl::MutexLock lock(&host_mu_);
  return host_->Remove();
}

absl::Status BridgeNetworkImpl::GiveBack(const std::vector<LinkReaper::Job>& jobs) {
  std::vector<std::string> addresses, tracked;
  {
    absl::MutexLock lock(&mu_);
    for (const LinkReaper::Job& job : jobs) {
      const auto lease = leases_.find(job.pod_id);
      if (lease == leases_.end()) continue;
      const std::vector<std::string>& held = lease->second.addresses;
      addresses.insert(addresses.end(), held.begin(), held.end());
      if (lease->second.tracked) tracked.insert(tracked.end(), held.begin(), held.end());
    }
  }
  // The next pod with the address must not get what was meant for this one.
  for (const std::string& text : tracked) {
    const auto address = ParseIpAddress(text);
    if (!address.ok()) continue;
    absl::MutexLock lock(&tracked_mu_);
    const absl::Status deleted =
        DeleteConntrack(*tracked_, {.family = address->family, .answers_come_from = *address});
    if (!deleted.ok()) Warn("tracked connections not deleted", text, deleted);
  }
  if (!addresses.empty()) {
    RETURN_IF_FAULT("network.forget");
    RETURN_IF_ERROR(DeleteAddressRows(database_, addresses));
  }
  absl::MutexLock lock(&mu_);
  for (const LinkReaper::Job& job : jobs) Forget(job.pod_id);
  return absl::OkStatus();
}

void BridgeNetworkImpl::MendTable() {
  absl::MutexLock lock(&host_mu_);
  const absl::Status mended = host_->MendTable();
  ++table_mended_;
  if (options_.log == nullptr) return;
  if (mended.ok()) {
    options_.log->Warning("somebody changed the packet filter table; it is as it was again",
                          {{"table", NatTableName(options_.bridge)}});
  } else {
    Warn("packet filter table not mended", "", mended);
  }
}

BridgeNetwork::Counts BridgeNetworkImpl::counts() const {
  const LinkReaper::Counts removals = reaper_->counts();
  return {.ready = static_cast<int64_t>(ready_->ready()),
          .taken_ready = taken_ready_,
          .made_at_once = made_at_once_,
          .removals_pending = removals.pending,
          .removals_done = removals.done,
          .host_ports = static_cast<int64_t>(host_ports_.count()),
          .table_mended = table_mended_};
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

absl::StatusOr<std::unique_ptr<BridgeNetwork>> BridgeNetwork::Open(Options options,
                                                                   Database& database) {
  if (!IsInterfaceName(options.bridge)) {
    return absl::InvalidArgumentError(
        absl::StrCat("use bridge \"", options.bridge, "\": not an interface name"));
  }
  ASSIGN_OR_RETURN(AddressPool pool, MakePool(options));
  auto network = std::make_unique<BridgeNetworkImpl>(std::move(options), database, std::move(pool));
  RETURN_IF_ERROR(network->Start());
  return network;
}

}  // namespace berth
