// One of a client's streams, whatever protocol carries it: a SPDY stream or a channel of a
// WebSocket. Not thread-safe.
#pragma once

#include <cstddef>

#include "absl/strings/string_view.h"
#include "src/stream/asio.h"
#include "src/stream/inbox.h"

namespace berth {

// How much a stream is written to at a time.
inline constexpr size_t kChunkBytes = 32 << 10;

// Beyond this many bytes that wait in one stream's inbox, or in all of them, nothing more is read
// from the client.
inline constexpr size_t kMaxInboxBytes = 256 << 10;
inline constexpr size_t kMaxInboxesBytes = 4 << 20;
// The same for answers that the client does not fetch.
inline constexpr size_t kMaxAnswerBytes = 256 << 10;

class ClientStream {
 public:
  virtual ~ClientStream() = default;
  // What the client sends.
  virtual Inbox& in() = 0;
  // At most kChunkBytes; returns once they are on their way, so that a slow client slows its
  // writer. False: nobody takes them.
  virtual asio::awaitable<bool> Write(absl::string_view bytes) = 0;
  // Nothing more will be written.
  virtual asio::awaitable<void> CloseWrite() = 0;
  // Gives up both ways; other streams go on.
  virtual void Reset() = 0;
};

// All streams of one client.
class ClientLink {
 public:
  virtual ~ClientLink() = default;
  // Reads and writes until the client is gone or breaks the protocol, and then notifies the Event
  // that it was made with. Runs once.
  virtual asio::awaitable<void> Run() = 0;
  // No byte comes any more.
  virtual bool gone() const = 0;
  // Says goodbye, once what was written is on its way; nothing may be written any more. What the
  // client still sends is dropped.
  virtual asio::awaitable<void> Close() = 0;
};

// When a session last moved bytes, for its idle timeout.
class Activity {
 public:
  void Touch() { last_ = Clock::now(); }
  Clock::time_point last() const { return last_; }

 private:
  Clock::time_point last_ = Clock::now();
};

}  // namespace berth
