// GetContainerEvents: the node's events, told to each client that asks. A stream has a bounded
// queue; what a slow client does not take is dropped, oldest first, and counted. Thread-safe.
#pragma once

#include <set>

#include "absl/synchronization/mutex.h"
#include "cri/runtime/v1/api.grpc.pb.h"
#include "src/sandbox/event_hub.h"

namespace berth {

class EventStreams {
 public:
  explicit EventStreams(EventHub& hub) : hub_(hub) {}

  // Writes events until the client is gone or Stop is called. RESOURCE_EXHAUSTED if too many are
  // open.
  grpc::Status Serve(const grpc::ServerContext& context,
                     grpc::ServerWriter<runtime::v1::ContainerEventResponse>& writer);
  // Ends all streams, and each later one at once. Does not wait for them.
  void Stop();

  struct Counts {
    int64_t open = 0, refused = 0, dropped_events = 0;
  };
  Counts Read() const;

 private:
  grpc::Status Enter(EventHub::Subscription* stream);
  void Leave(EventHub::Subscription* stream);
  bool stopping() const;

  EventHub& hub_;
  mutable absl::Mutex mu_;
  std::set<EventHub::Subscription*> streams_ ABSL_GUARDED_BY(mu_);
  int64_t refused_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t dropped_ ABSL_GUARDED_BY(mu_) = 0;  // of streams that have ended
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace berth
