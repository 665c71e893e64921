// The one writer of a transport: frames of several coroutines, in the order in which they came. Not
// thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "src/stream/event.h"
#include "src/stream/transport.h"

namespace berth {

class FrameWriter {
 public:
  FrameWriter(Transport& transport, const Executor& executor)
      : transport_(transport), changed_(executor) {}

  // Writes until the transport fails or Stop. Runs once.
  asio::awaitable<void> Run();
  // Queues `frame` and waits until it is written; false: it never will be.
  asio::awaitable<bool> Send(std::string frame, bool text = false);
  // Queues `frame`. For answers; who provokes them is held back by answer_bytes().
  void Post(std::string frame, bool text = false);
  // Until all is written, or the transport fails.
  asio::awaitable<void> Flush();
  void Stop();

  // Posted and not written yet.
  size_t answer_bytes() const { return answer_bytes_; }
  bool failed() const { return stopped_; }
  // Notified when something was written.
  Event& changed() { return changed_; }

 private:
  struct Frame {
    std::string bytes;
    bool text;
    bool answer;
  };

  void Queue(Frame frame);

  Transport& transport_;
  Event changed_;
  std::deque<Frame> queue_;
  size_t answer_bytes_ = 0;
  uint64_t queued_ = 0, written_ = 0;  // frames, ever
  bool stopped_ = false;
};

}  // namespace berth
