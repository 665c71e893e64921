// The monitor's event loop: one epoll, one event at a time, and a list of deadlines on
// CLOCK_BOOTTIME. An event's object may delete itself or others in its callback, because no second
// event is pending then.
#pragma once

#include <cstdint>

namespace berth::monitor {

// Embedded in the object that owns the fd; `owner` finds its way back.
struct Handler {
  void (*ready)(void* owner, int which) = nullptr;
  void* owner = nullptr;
  int which = 0;
};

struct Timer {
  void (*fire)(void* owner) = nullptr;
  void* owner = nullptr;
  int64_t at_ms = 0;
  bool armed = false;
  Timer* next = nullptr;
};

int64_t BootMilliseconds();
int64_t WallNanoseconds();

class Loop {
 public:
  bool Open();
  bool Add(int fd, Handler* handler);
  // Called once `fd` can be written to.
  bool AddWriter(int fd, Handler* handler);
  void Remove(int fd);
  void Arm(Timer* timer, int64_t in_ms);
  void Disarm(Timer* timer);
  // Runs until Stop.
  void Run();
  void Stop() { running_ = false; }

 private:
  int TimeoutMs() const;
  void FireDue();

  int epoll_ = -1;
  bool running_ = true;
  Timer* timers_ = nullptr;
};

}  // namespace berth::monitor
