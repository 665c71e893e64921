#include "src/sandbox/network/network_choice.h"

#include "absl/strings/str_cat.h"
#include "src/base/id.h"
#include "src/base/status_macros.h"
#include "src/kernel/ip_address.h"

namespace berth {

Network& NetworkChoice::Now() const {
  const bool cni = mode_ == NetworkMode::kCni || (mode_ == NetworkMode::kAuto && cni_.HasConfig());
  return cni ? static_cast<Network&>(cni_) : built_in_;
}

absl::StatusOr<NetworkClaim> NetworkChoice::Begin(const PodBeginning& beginning) {
  Network& chosen = Now();
  ASSIGN_OR_RETURN(NetworkClaim claim, chosen.Begin(beginning));
  if (claim.pod_id.empty()) claim.pod_id = NewId();
  absl::MutexLock lock(&mu_);
  begun_[claim.pod_id] = &chosen;
  return claim;
}

absl::StatusOr<std::vector<std::string>> NetworkChoice::Attach(const PodAttachment& pod) {
  Network* chosen = &Now();
  {
    absl::MutexLock lock(&mu_);
    if (const auto begun = begun_.find(pod.pod_id); begun != begun_.end()) {
      chosen = begun->second;
      begun_.erase(begun);
    }
  }
  return chosen->Attach(pod);
}

// Each knows its own pods only.
absl::Status NetworkChoice::Detach(absl::string_view pod_id) {
  {
    absl::MutexLock lock(&mu_);
    begun_.erase(pod_id);
  }
  absl::Status detached = built_in_.Detach(pod_id);
  detached.Update(cni_.Detach(pod_id));
  return detached;
}

void NetworkChoice::Adopt(absl::string_view pod_id, const std::vector<PortMapping>& ports) {
  (cni_.Has(pod_id) ? static_cast<Network&>(cni_) : built_in_).Adopt(pod_id, ports);
}

void NetworkChoice::Reconcile(const absl::flat_hash_set<std::string>& live) {
  absl::flat_hash_set<std::string> built_in;
  for (const std::string& pod_id : live) {
    if (!cni_.Has(pod_id)) built_in.insert(pod_id);
  }
  built_in_.Reconcile(built_in);
  cni_.Reconcile(live);
}

// Where there is no CNI yet, the subnets may be what makes it.
absl::Status NetworkChoice::SetPodCidrs(const std::vector<std::string>& cidrs) {
  for (const std::string& cidr : cidrs) {
    if (const absl::Status subnet = ParseSubnet(cidr).status(); !subnet.ok())
      return absl::InvalidArgumentError(absl::StrCat("pod_cidr: ", subnet.message()));
  }
  return mode_ == NetworkMode::kBuiltIn ? built_in_.SetPodCidrs(cidrs) : cni_.SetPodCidrs(cidrs);
}

absl::Status NetworkChoice::RemoveIfUnused() {
  absl::Status removed = built_in_.RemoveIfUnused();
  removed.Update(cni_.RemoveIfUnused());
  return removed;
}

}  // namespace berth
