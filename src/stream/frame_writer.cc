#include "src/stream/frame_writer.h"

#include <utility>

namespace berth {

asio::awaitable<void> FrameWriter::Run() {
  while (!stopped_) {
    if (queue_.empty()) {
      co_await changed_.Wait();
      continue;
    }
    const Frame frame = std::move(queue_.front());
    queue_.pop_front();
    const bool written = co_await transport_.Write(asio::buffer(frame.bytes), frame.text);
    if (frame.answer) answer_bytes_ -= frame.bytes.size();
    if (written) {
      ++written_;
    } else {
      stopped_ = true;
      transport_.Abort();  // whoever reads is to know
    }
    changed_.Notify();
  }
}

void FrameWriter::Queue(Frame frame) {
  ++queued_;
  queue_.push_back(std::move(frame));
  changed_.Notify();
}

void FrameWriter::Post(std::string frame, bool text) {
  if (stopped_) return;
  answer_bytes_ += frame.size();
  Queue({.bytes = std::move(frame), .text = text, .answer = true});
}

asio::awaitable<bool> FrameWriter::Send(std::string frame, bool text) {
  if (stopped_) co_return false;
  Queue({.bytes = std::move(frame), .text = text, .answer = false});
  const uint64_t mine = queued_;
  while (!stopped_ && written_ < mine) co_await changed_.Wait();
  co_return written_ >= mine;
}

asio::awaitable<void> FrameWriter::Flush() {
  while (!stopped_ && written_ < queued_) co_await changed_.Wait();
}

void FrameWriter::Stop() {
  stopped_ = true;
  changed_.Notify();
}

}  // namespace berth
