// GetContainerEvents: one thread turns the node's events into bytes, once, and gives them to all
// streams. A stream has a bounded queue; what a slow client does not take is dropped, oldest first,
// and counted. Thread-safe.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <set>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "src/base/log.h"
#include "src/sandbox/event_hub.h"

namespace berth {

class EventStreams {
 public:
  EventStreams(EventHub& hub, const Log& log);
  // Stop was called, and the gRPC server has ended.
  ~EventStreams();

  // The reactor of a new stream: gRPC's, until OnDone.
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Open();
  // Ends all streams, and each later one at once.
  void Stop();

  struct Counts {
    int64_t open = 0, refused = 0, dropped_events = 0;
  };
  Counts Read() const;

 private:
  class Stream;
  void Run();
  void Closed(Stream* stream, uint64_t dropped);

  const Log& log_;
  const std::unique_ptr<EventHub::Subscription> subscription_;
  mutable absl::Mutex mu_;
  std::set<Stream*> streams_ ABSL_GUARDED_BY(mu_);
  int64_t refused_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t dropped_ ABSL_GUARDED_BY(mu_) = 0;  // of streams that have ended
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace berth
