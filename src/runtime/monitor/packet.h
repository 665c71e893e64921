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
  // kClosed also for a packet that is not of this protocol. `plan_room` gets the plan of a message
  // that has one, of kPlanInMessageMaxBytes at most; without it such a one is kClosed too.
  Result Receive(int socket, char* plan_room = nullptr);

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
  // What came with kExecWithPlan, kStartWithPlan, kPrepare or kSetUp, in the room for it; else
  // null, and 0.
  const char* plan() const { return plan_; }
  size_t plan_bytes() const { return plan_bytes_; }

 private:
  wire::Header header_ = {};
  size_t bytes_ = 0, plan_bytes_ = 0;
  const char* plan_ = nullptr;
  int fds_[wire::kMaxMessageFds];
  int fd_count_ = 0;
  char data_[wire::kPlanOffset];
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
