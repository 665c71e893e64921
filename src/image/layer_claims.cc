#include "src/image/layer_claims.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace berth {

LayerClaims::Party::Party(LayerClaims& claims)
    : claims_(claims), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

LayerClaims::Party::~Party() {
  absl::MutexLock lock(&claims_.mu_);
  for (const std::string& diff_id : std::exchange(mine_, {})) claims_.GiveUp(*this, diff_id);
}

void LayerClaims::Party::Want(const std::vector<std::string>& diff_ids) {
  absl::MutexLock lock(&claims_.mu_);
  for (const std::string& diff_id : diff_ids) {
    if (!mine_.insert(diff_id).second) continue;
    Claim& claim = claims_.claims_[diff_id];
    if (claim.owner == nullptr) {
      claim.owner = this;
      given_.push_back(diff_id);
    } else {
      claim.waiting.push_back(this);
      Wake(*claim.owner);
    }
  }
}

std::vector<std::string> LayerClaims::Party::Take() {
  absl::MutexLock lock(&claims_.mu_);
  uint64_t count;
  (void)!::read(wake_.get(), &count, sizeof(count));
  return std::exchange(given_, {});
}

bool LayerClaims::Party::IsAwaited(const std::string& diff_id) const {
  absl::MutexLock lock(&claims_.mu_);
  const auto claim = claims_.claims_.find(diff_id);
  return claim != claims_.claims_.end() && claim->second.owner == this &&
         !claim->second.waiting.empty();
}

void LayerClaims::Party::GiveUp(const std::string& diff_id) {
  absl::MutexLock lock(&claims_.mu_);
  if (mine_.erase(diff_id) > 0) claims_.GiveUp(*this, diff_id);
}

void LayerClaims::Wake(const Party& party) {
  const uint64_t one = 1;
  (void)!::write(party.wake_.get(), &one, sizeof(one));
}

void LayerClaims::GiveUp(Party& party, const std::string& diff_id) {
  const auto found = claims_.find(diff_id);
  if (found == claims_.end()) return;
  Claim& claim = found->second;
  if (claim.owner != &party) {
    claim.waiting.erase(std::remove(claim.waiting.begin(), claim.waiting.end(), &party),
                        claim.waiting.end());
    return;
  }
  if (claim.waiting.empty()) {
    claims_.erase(found);
    return;
  }
  claim.owner = claim.waiting.front();
  claim.waiting.pop_front();
  claim.owner->given_.push_back(diff_id);
  Wake(*claim.owner);
}

}  // namespace berth
