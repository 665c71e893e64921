// The last events of the node for people (`berth events`): pods and containers, pulls, and
// operations that failed. Bounded. Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "berth/v1/berth.pb.h"
#include "src/sandbox/event_hub.h"
#include "src/sandbox/operation_log.h"

namespace berth {

class EventLog {
 public:
  explicit EventLog(EventHub& hub);
  ~EventLog();

  // A failed operation, or a pull that is done; others are told by what they change.
  void Add(const OperationRecord& operation);

  // What came behind `*position` (0 for all that is kept), which moves on; waits for something
  // until `deadline`. Empty at once after Stop.
  std::vector<v1::Event> After(uint64_t* position, absl::Time deadline) const;
  void Stop();
  bool stopped() const;

 private:
  void Append(v1::Event event);

  EventHub& hub_;
  mutable absl::Mutex mu_;
  std::deque<v1::Event> events_ ABSL_GUARDED_BY(mu_);
  uint64_t end_ ABSL_GUARDED_BY(mu_) = 0;  // events ever appended
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace berth
