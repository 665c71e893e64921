// Accepts connections on the CRI socket and hands them to gRPC as descriptors, which keeps each
// caller's credentials readable: gRPC's own unix listener does not tell them.
#pragma once

#include <grpcpp/server.h>

#include <thread>

#include "absl/status/statusor.h"
#include "src/base/log.h"
#include "src/base/unique_fd.h"

namespace berth {

class Listener {
 public:
  // Takes a listening stream socket. `server` must outlive this object.
  Listener(UniqueFd socket, grpc::Server& server, const Log& log);
  // Stops accepting; connections that gRPC has stay.
  ~Listener();

 private:
  void Run();

  const UniqueFd socket_;
  UniqueFd stop_;
  grpc::Server& server_;
  const Log& log_;
  std::thread thread_;
};

}  // namespace berth
