#include "src/runtime/monitor/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>

namespace berth::monitor {

int64_t BootMilliseconds() {
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t WallNanoseconds() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

bool Loop::Open() {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  return epoll_ >= 0;
}

bool Loop::Add(int fd, Handler* handler) {
  epoll_event event = {.events = EPOLLIN, .data = {.ptr = handler}};
  return epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool Loop::AddWriter(int fd, Handler* handler) {
  epoll_event event = {.events = EPOLLOUT, .data = {.ptr = handler}};
  return epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
}

void Loop::Remove(int fd) { epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr); }

void Loop::Arm(Timer* timer, int64_t in_ms) {
  timer->at_ms = BootMilliseconds() + in_ms;
  if (timer->armed) return;
  timer->armed = true;
  timer->next = timers_;
  timers_ = timer;
}

void Loop::Disarm(Timer* timer) {
  if (!timer->armed) return;
  timer->armed = false;
  for (Timer** link = &timers_; *link != nullptr; link = &(*link)->next) {
    if (*link == timer) {
      *link = timer->next;
      return;
    }
  }
}

int Loop::TimeoutMs() const {
  if (timers_ == nullptr) return -1;
  int64_t first = timers_->at_ms;
  for (const Timer* timer = timers_; timer != nullptr; timer = timer->next) {
    if (timer->at_ms < first) first = timer->at_ms;
  }
  const int64_t left = first - BootMilliseconds();
  return left <= 0 ? 0 : left > 3600000 ? 3600000 : static_cast<int>(left);
}

void Loop::FireDue() {
  const int64_t now = BootMilliseconds();
  for (Timer* timer = timers_; timer != nullptr;) {
    if (timer->at_ms > now) {
      timer = timer->next;
      continue;
    }
    Disarm(timer);
    timer->fire(timer->owner);
    timer = timers_;  // the callback may have changed the list
  }
}

void Loop::Run() {
  while (running_) {
    epoll_event event;
    const int ready = epoll_wait(epoll_, &event, 1, TimeoutMs());
    if (ready == 1) {
      auto* handler = static_cast<Handler*>(event.data.ptr);
      handler->ready(handler->owner, handler->which);
    } else if (ready < 0 && errno != EINTR) {
      return;
    }
    FireDue();
  }
}

}  // namespace berth::monitor
