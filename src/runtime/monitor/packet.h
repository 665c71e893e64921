// One message of monitor_protocol.h with its descriptors, received or to be sent.
#pragma once

#include <cstddef>
#include <cstring>

#include "src/runtime/monitor_protocol.h"

namespace berth::monitor {

// A received packet; owns its descriptors until they are taken.
class Packet {
 public:
  Packet() = default;
  Packet(const Packet&) = delete;
  Packet& operator=(const Packet&) = delete;
  ~Packet();

  enum class Result { kMessage, kNothing, kClosed };
  // kClosed also for a packet that is not of this protocol.
  Result Receive(int socket);

  wire::Type type() const { return static_cast<wire::Type>(header_.type); }
  // False if the payload is not exactly one T.
  template <typename T>
  bool Read(T* value) const {
    if (bytes_ != sizeof(wire::Header) + sizeof(T)) return false;
    memcpy(value, data_ + sizeof(wire::Header), sizeof(T));
    return true;
  }
  const int* fds() const { return fds_; }
  int fd_count() const { return fd_count_; }
  // Takes descriptor `index` out; -1 if there is none.
  int TakeFd(int index);

 private:
  wire::Header header_ = {};
  size_t bytes_ = 0;
  int fds_[wire::kMaxMessageFds];
  int fd_count_ = 0;
  char data_[1024];
};

// Never waits. False if the peer has gone, or does not read and its buffer is full.
bool Send(int socket, wire::Type type, const void* payload, size_t bytes, const int* fds = nullptr,
          int fd_count = 0);
template <typename T>
bool Send(int socket, wire::Type type, const T& payload) {
  return Send(socket, type, &payload, sizeof(payload));
}
inline void SendOk(int socket) { Send(socket, wire::Type::kOk, nullptr, 0); }
void SendError(int socket, int step, int error, const char* call);

}  // namespace berth::monitor
