// What the bytes of a session travel on once the HTTP upgrade is answered: the connection itself,
// TLS over it, or the messages of a WebSocket over either. Not thread-safe.
#pragma once

#include <cstddef>
#include <optional>

#include "src/stream/asio.h"

namespace berth {

class Transport {
 public:
  // What a read brought. On a WebSocket it is (a part of) one message; else it is all kBinary and
  // ends nothing.
  struct Piece {
    size_t size = 0;
    bool text = false;
    bool ends_message = false;
  };

  virtual ~Transport() = default;
  // nullopt: the client is gone, or said goodbye. One read at a time.
  virtual asio::awaitable<std::optional<Piece>> Read(asio::mutable_buffer into) = 0;
  // All of `bytes`, as one message on a WebSocket. False: the client is gone. One write at a time.
  virtual asio::awaitable<bool> Write(asio::const_buffer bytes, bool text) = 0;
  // The orderly end, after the last write: what was written still reaches a client that reads.
  virtual asio::awaitable<void> Close() = 0;
  // The end at once. Reads and writes that are underway fail.
  virtual void Abort() = 0;
  // The client has closed its side, though there may be bytes that were not read.
  virtual bool PeerHasClosed() = 0;
};

}  // namespace berth
