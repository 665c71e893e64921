// Accepts connections on the CRI socket and hands them to gRPC as descriptors, which keeps each
// caller's credentials readable: gRPC's own unix listener does not tell them. gRPC gets a
// connection once its HTTP/2 preface is there, so that those that say nothing cost a descriptor
// for a few seconds and no more, and only so many, of one process a quarter of them at most.
#pragma once

#include <grpcpp/server.h>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "src/base/log.h"
#include "src/base/unique_fd.h"

namespace berth {

class Listener {
 public:
  struct Limits {
    size_t max_connections = 2000;              // that gRPC has
    size_t max_silent = 128;                    // beyond, the oldest is closed
    absl::Duration silence = absl::Seconds(5);  // until the preface
    size_t PerProcess() const { return (max_connections + 3) / 4; }
  };
  // Takes a listening stream socket. `server` must outlive this object.
  static absl::StatusOr<std::unique_ptr<Listener>> Start(UniqueFd socket, const Limits& limits,
                                                         grpc::Server& server, const Log& log);
  // Stops accepting; connections that gRPC has stay.
  ~Listener();

 private:
  struct Connection {
    UniqueFd fd;  // of one that gRPC has: a second descriptor, to see its end
    pid_t peer = 0;
    absl::Time due;  // while it is silent
  };

  Listener(UniqueFd socket, const Limits& limits, grpc::Server& server, const Log& log);
  void Run();
  void Accept();
  void Hear(uint64_t key);
  void HandOver(uint64_t key, Connection& connection);
  void Close(uint64_t key);
  // Forgets those that have ended without a word: of an end that gRPC made nobody is woken.
  void ForgetEnded();
  bool HasRoomFor(pid_t peer) const;
  void CloseOverdue();
  int MillisecondsToWait() const;

  const Limits limits_;
  const UniqueFd socket_, stop_, epoll_;
  grpc::Server& server_;
  const Log& log_;
  // Of the thread:
  uint64_t next_key_;
  std::map<uint64_t, Connection> connections_;
  std::set<uint64_t> silent_;  // keys, and so in the order of `due`
  absl::Time complained_ = absl::InfinitePast();
  std::thread thread_;
};

}  // namespace berth
