#include "src/sandbox/running_copies.h"

#include "absl/strings/str_cat.h"

namespace berth {

RunningCopies::Hold::Hold(RunningCopies& copies, std::string container_id,
                          std::unique_ptr<CopyProcess> process)
    : copies_(copies), container_id_(std::move(container_id)), process_(std::move(process)) {
  const absl::MutexLock lock(&copies_.mu_);
  copies_.running_.emplace(container_id_, process_.get());
}

RunningCopies::Hold::~Hold() {
  const absl::MutexLock lock(&copies_.mu_);
  const auto [begin, end] = copies_.running_.equal_range(container_id_);
  for (auto copy = begin; copy != end; ++copy) {
    if (copy->second != process_.get()) continue;
    copies_.running_.erase(copy);
    return;
  }
}

absl::Status RunningCopies::CheckRoom() const {
  const absl::MutexLock lock(&mu_);
  if (running_.size() < kMost) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("copy: ", kMost, " copies run already, which is the limit"));
}

// Under the lock, so that none of them is destroyed meanwhile; a killed process is gone at once.
void RunningCopies::End(absl::string_view container_id) {
  const absl::MutexLock lock(&mu_);
  const auto [begin, end] = running_.equal_range(container_id);
  for (auto copy = begin; copy != end; ++copy) copy->second->Kill();
}

}  // namespace berth
