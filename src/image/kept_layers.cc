#include "src/image/kept_layers.h"

#include "src/base/steady_time.h"

namespace berth {

KeptLayers::KeptLayers(absl::Duration keep, Release release)
    : keep_(keep), release_(std::move(release)), thread_([this] { Run(); }) {}

KeptLayers::~KeptLayers() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  thread_.join();
}

void KeptLayers::Keep(std::vector<int64_t> layers) {
  absl::MutexLock lock(&mu_);
  kept_.emplace_back(SteadyNow() + keep_, std::move(layers));
}

void KeptLayers::Run() {
  const auto has_news = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return stopping_ || !kept_.empty();
  };
  while (true) {
    std::vector<int64_t> due;
    {
      absl::MutexLock lock(&mu_, absl::Condition(&has_news));
      // The first is the first to be due: all are kept equally long.
      if (!stopping_ && AwaitUntil(mu_, absl::Condition(&stopping_), kept_.front().first)) return;
      if (stopping_) return;
      due = std::move(kept_.front().second);
      kept_.pop_front();
    }
    release_(due);
  }
}

}  // namespace berth
