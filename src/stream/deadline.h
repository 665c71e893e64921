// Calls a function once a time has passed, unless it is destroyed before. Not thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <utility>

#include "src/stream/asio.h"

namespace berth {

class Deadline {
 public:
  template <class AnyExecutor>
  Deadline(const AnyExecutor& executor, std::chrono::milliseconds time,
           std::function<void()> passed)
      : timer_(executor, time) {
    auto wait = std::make_unique<Wait>(Wait{std::move(passed), this});
    wait_ = wait.get();
    timer_.async_wait([wait = std::move(wait)](const ErrorCode&) {
      if (wait->owner == nullptr) return;
      wait->owner->wait_ = nullptr;
      wait->passed();
    });
  }
  ~Deadline() {
    if (wait_ != nullptr) wait_->owner = nullptr;
  }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

 private:
  // Belongs to the timer's handler, which may be due already when the deadline is destroyed.
  struct Wait {
    std::function<void()> passed;
    Deadline* owner;
  };

  asio::steady_timer timer_;
  Wait* wait_ = nullptr;  // nullptr: it is over
};

}  // namespace berth
