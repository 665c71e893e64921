#include "src/sandbox/event_hub.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "src/base/steady_time.h"

namespace berth {
namespace {

bool Wants(const std::vector<EventType>& types, EventType type) {
  return types.empty() || std::find(types.begin(), types.end(), type) != types.end();
}

}  // namespace

EventHub::Subscription::~Subscription() {
  absl::MutexLock lock(&hub_.mu_);
  std::erase(hub_.subscriptions_, this);
}

EventPtr EventHub::Subscription::Next(absl::Time deadline) {
  const auto ready = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !queue_.empty() || woken_; };
  absl::MutexLock lock(&hub_.mu_);
  AwaitUntil(hub_.mu_, absl::Condition(&ready), deadline);
  woken_ = false;
  if (queue_.empty()) return nullptr;
  EventPtr event = std::move(queue_.front());
  queue_.pop_front();
  return event;
}

void EventHub::Subscription::Wake() {
  absl::MutexLock lock(&hub_.mu_);
  woken_ = true;
}

uint64_t EventHub::Subscription::dropped() const {
  absl::MutexLock lock(&hub_.mu_);
  return dropped_;
}

std::unique_ptr<EventHub::Subscription> EventHub::Subscribe(size_t capacity,
                                                            std::vector<EventType> types) {
  std::unique_ptr<Subscription> subscription(new Subscription(*this, capacity, std::move(types)));
  absl::MutexLock lock(&mu_);
  subscriptions_.push_back(subscription.get());
  return subscription;
}

void EventHub::Observe(std::function<void(const NodeEvent&)> observer) {
  absl::MutexLock lock(&mu_);
  observer_ = std::move(observer);
}

bool EventHub::Tells(EventType type) const {
  absl::MutexLock lock(&mu_);
  return observer_ != nullptr ||
         std::any_of(subscriptions_.begin(), subscriptions_.end(),
                     [&](const Subscription* each) { return Wants(each->types_, type); });
}

void EventHub::Publish(NodeEvent event) {
  auto shared = std::make_shared<NodeEvent>(std::move(event));
  absl::MutexLock lock(&mu_);
  // Whoever compares times must not see an event as older than the one before it.
  shared->at = last_at_ = std::max(absl::GetCurrentTimeNanos(), last_at_ + 1);
  if (observer_ != nullptr) observer_(*shared);
  for (Subscription* subscription : subscriptions_) {
    if (!Wants(subscription->types_, shared->type)) continue;
    if (subscription->queue_.size() >= subscription->capacity_) {
      subscription->queue_.pop_front();
      ++subscription->dropped_;
    }
    subscription->queue_.push_back(shared);
  }
}

}  // namespace berth
