// What clients of the socket may take: connections, calls, threads, bytes, and how long the silent
// ones stay. Not thread-safe.
#pragma once

#include <grpcpp/server_builder.h>
#include <sys/resource.h>

#include <cstddef>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "src/server/listener.h"

namespace berth {

// What clients together and one of them may take; who is gone without a word is found out: asked
// after `keepalive` of silence.
void BoundClients(absl::Duration keepalive, grpc::ServerBuilder* builder);

// ResourceExhausted: there are not the threads to be had that gRPC begins with, where it would
// abort.
absl::Status CheckRoomForThreads();

// Of connections, for a process that may have `descriptors` (RLIMIT_NOFILE) of them.
Listener::Limits ConnectionLimits(size_t max_connections, rlim_t descriptors);

}  // namespace berth
