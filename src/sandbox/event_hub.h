// What happens to pods and containers, told to whoever subscribes, in the order in which it
// happened: through a bounded queue for each subscriber, for which publishing never waits, and to
// one observer at once.
// Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/sandbox/records.h"

namespace berth {

enum class EventType { kCreated, kStarted, kStopped, kDeleted };

struct NodeEvent {
  EventType type = EventType::kCreated;
  bool of_pod = false;  // else of a container
  std::string id;
  int64_t at = 0;  // ns since the epoch; later than any event before it
  // How the pod and its containers were right after it; what was deleted, right before.
  std::shared_ptr<const PodRecord> pod;
  std::vector<std::shared_ptr<const ContainerRecord>> containers;
};
using EventPtr = std::shared_ptr<const NodeEvent>;

class EventHub {
 public:
  // Ends with the object. Must not outlive the hub.
  class Subscription {
   public:
    ~Subscription();
    // The next event; null at the deadline and after Wake.
    EventPtr Next(absl::Time deadline);
    // Next returns at once, this time or the next.
    void Wake();
    // Events that were lost because nobody took them: the oldest ones go first.
    uint64_t dropped() const;

   private:
    friend class EventHub;
    Subscription(EventHub& hub, size_t capacity, std::vector<EventType> types)
        : hub_(hub), capacity_(capacity), types_(std::move(types)) {}
    EventHub& hub_;
    const size_t capacity_;
    const std::vector<EventType> types_;
    std::deque<EventPtr> queue_ ABSL_GUARDED_BY(hub_.mu_);
    uint64_t dropped_ ABSL_GUARDED_BY(hub_.mu_) = 0;
    bool woken_ ABSL_GUARDED_BY(hub_.mu_) = false;
  };

  // To events of `types`; without any, to all. A subscriber that waits is woken for no other.
  std::unique_ptr<Subscription> Subscribe(size_t capacity, std::vector<EventType> types = {});
  // Called with each event, one after the other, on the thread that publishes it: it must be quick,
  // and call neither the hub nor the state. Null ends it; on return it is not running.
  void Observe(std::function<void(const NodeEvent&)> observer);
  // False: nobody is told of an event of this type, it need not be made.
  bool Tells(EventType type) const;
  // Sets its time.
  void Publish(NodeEvent event);

 private:
  mutable absl::Mutex mu_;
  std::vector<Subscription*> subscriptions_ ABSL_GUARDED_BY(mu_);
  std::function<void(const NodeEvent&)> observer_ ABSL_GUARDED_BY(mu_);
  int64_t last_at_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace berth
