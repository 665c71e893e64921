// Waiting of coroutines for one another, on one thread: a condition that somebody else changes, a
// queue of bytes with an end.
#pragma once

#include <algorithm>
#include <vector>

#include "src/stream/asio.h"

namespace berth {

inline constexpr auto kNever = Clock::time_point::max();

// A condition variable for coroutines: check, wait, check again.
class Event {
 public:
  explicit Event(const Executor& executor) : executor_(executor) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  // Until the next Notify, or `deadline`.
  asio::awaitable<void> Wait(Clock::time_point deadline = kNever) {
    asio::steady_timer timer(executor_, deadline);
    waiting_.push_back(&timer);
    boost::system::error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    waiting_.erase(std::find(waiting_.begin(), waiting_.end(), &timer));
  }

  void Notify() {
    for (asio::steady_timer* timer : waiting_) timer->cancel();
  }

 private:
  const Executor executor_;
  std::vector<asio::steady_timer*> waiting_;
};

}  // namespace berth
