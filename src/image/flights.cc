#include "src/image/flights.h"

#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "src/base/steady_time.h"

namespace berth {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(100);

bool IsCancelled(const PullRequest& request) { return request.cancelled && request.cancelled(); }

}  // namespace

absl::StatusOr<std::string> Flights::Join(const std::string& reference, const std::string& key,
                                          const PullRequest& request, Work work) {
  while (true) {
    std::shared_ptr<Flight> flight;
    bool leads = false;
    {
      absl::MutexLock lock(&mu_);
      std::shared_ptr<Flight>& slot = flights_[key];
      leads = slot == nullptr;
      if (leads) slot = std::make_shared<Flight>(reference);
      flight = slot;
    }
    absl::StatusOr<std::string> result =
        leads ? Lead(key, flight, request, work) : Follow(*flight, request);
    const bool others_cancellation =
        !leads && absl::IsCancelled(result.status()) && !IsCancelled(request);
    if (!others_cancellation) return result;
  }
}

std::vector<RunningPull> Flights::Running() const {
  std::vector<std::shared_ptr<Flight>> flights;
  {
    absl::MutexLock lock(&mu_);
    for (const auto& [key, flight] : flights_) flights.push_back(flight);
  }
  std::vector<RunningPull> running;
  for (const std::shared_ptr<Flight>& flight : flights) {
    RunningPull pull{.reference = flight->reference,
                     .started_at = absl::ToUnixNanos(flight->started_at)};
    absl::MutexLock lock(&flight->mu);
    for (const auto& [layer, entry] : flight->latest) {
      if (!layer.empty()) pull.layers.push_back(entry.second);
    }
    running.push_back(std::move(pull));
  }
  return running;
}

absl::StatusOr<std::string> Flights::Lead(const std::string& key,
                                          const std::shared_ptr<Flight>& flight,
                                          const PullRequest& request, Work work) {
  absl::StatusOr<std::string> result = work([&](const PullProgress& progress) {
    {
      absl::MutexLock lock(&flight->mu);
      flight->latest[progress.layer] = {++flight->version, progress};
    }
    if (request.progress) request.progress(progress);
  });
  {
    absl::MutexLock lock(&mu_);
    flights_.erase(key);
  }
  absl::MutexLock lock(&flight->mu);
  flight->result = result;
  flight->done = true;
  return result;
}

absl::StatusOr<std::string> Flights::Follow(Flight& flight, const PullRequest& request) {
  int64_t seen = 0;
  while (true) {
    if (IsCancelled(request)) return absl::CancelledError("pull: cancelled");
    std::vector<PullProgress> news;
    {
      absl::MutexLock lock(&flight.mu);
      AwaitFor(flight.mu, absl::Condition(&flight.done), kPoll);
      if (flight.done) return flight.result;
      for (const auto& [layer, entry] : flight.latest) {
        if (entry.first > seen) news.push_back(entry.second);
      }
      seen = flight.version;
    }
    if (!request.progress) continue;
    for (const PullProgress& progress : news) request.progress(progress);
  }
}

}  // namespace berth
