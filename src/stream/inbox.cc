#include "src/stream/inbox.h"

namespace berth {

void Inbox::Push(absl::string_view bytes) {
  if (ended_) return;
  if (begin_ > bytes_.size() / 2) {
    bytes_.erase(0, begin_);
    begin_ = 0;
  }
  bytes_.append(bytes.data(), bytes.size());
  changed_.Notify();
}

void Inbox::End(bool lost) {
  ended_ = true;
  lost_ = lost_ || lost;
  changed_.Notify();
}

void Inbox::Discard() {
  const size_t dropped = size();
  std::string().swap(bytes_);
  begin_ = 0;
  End(false);
  if (dropped > 0) on_taken_(dropped);
}

asio::awaitable<std::string> Inbox::Take(size_t max) {
  while (size() == 0 && !ended_) co_await changed_.Wait();
  std::string taken = bytes_.substr(begin_, max);
  begin_ += taken.size();
  if (size() == 0) {
    // Not kept for ever by a stream that once was busy.
    std::string().swap(bytes_);
    begin_ = 0;
  }
  if (!taken.empty()) on_taken_(taken.size());
  co_return taken;
}

}  // namespace berth
