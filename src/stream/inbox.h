// Bytes of a client's stream that its consumer has not taken yet. The producer looks at size() and
// stops reading from the client above a bound. Not thread-safe.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "absl/strings/string_view.h"
#include "src/stream/event.h"

namespace berth {

class Inbox {
 public:
  // `on_taken` is told how many bytes a Take has removed.
  Inbox(const Executor& executor, std::function<void(size_t)> on_taken)
      : changed_(executor), on_taken_(std::move(on_taken)) {}

  void Push(absl::string_view bytes);
  // No more will come. `lost`: the stream was reset, or the client is gone.
  void End(bool lost);

  // Nobody wants what is here and what will come.
  void Discard();

  // Up to `max` bytes once there are some; "" at the end.
  asio::awaitable<std::string> Take(size_t max);

  size_t size() const { return bytes_.size() - begin_; }
  bool ended() const { return ended_; }
  bool lost() const { return lost_; }
  Event& changed() { return changed_; }

 private:
  std::string bytes_;
  size_t begin_ = 0;  // what lies before it is taken
  bool ended_ = false, lost_ = false;
  Event changed_;
  const std::function<void(size_t)> on_taken_;
};

}  // namespace berth
