// berth-monitor's event loop.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "src/base/unique_fd.h"
#include "src/runtime/monitor/loop.h"

namespace berth::monitor {
namespace {

using ::testing::ElementsAre;

// What a callback was told, in order.
struct Calls {
  Loop* loop = nullptr;
  std::vector<std::string> names;
  size_t stop_after = 0;
};

struct NamedTimer {
  Calls* calls;
  std::string name;
  Timer timer;
};

void Prepare(NamedTimer* timer) {
  timer->timer.owner = timer;
  timer->timer.fire = [](void* owner) {
    auto* self = static_cast<NamedTimer*>(owner);
    self->calls->names.push_back(self->name);
    if (self->calls->names.size() == self->calls->stop_after) self->calls->loop->Stop();
  };
}

TEST(Loop, FiresEachDueTimerOnceAndNoneThatWasDisarmed) {
  Loop loop;
  ASSERT_TRUE(loop.Open());
  Calls calls{.loop = &loop, .stop_after = 2};
  NamedTimer a{&calls, "a", {}}, b{&calls, "b", {}}, c{&calls, "c", {}};
  for (NamedTimer* timer : {&a, &b, &c}) Prepare(timer);
  loop.Arm(&a.timer, 0);
  loop.Arm(&b.timer, 0);
  loop.Arm(&c.timer, 0);
  loop.Disarm(&b.timer);
  loop.Disarm(&b.timer);
  loop.Run();
  EXPECT_THAT(calls.names, testing::UnorderedElementsAre("a", "c"));
  EXPECT_FALSE(a.timer.armed);
}

TEST(Loop, ArmingAgainMovesTheDeadline) {
  Loop loop;
  ASSERT_TRUE(loop.Open());
  Calls calls{.loop = &loop, .stop_after = 1};
  NamedTimer never{&calls, "never", {}}, now{&calls, "now", {}};
  Prepare(&never);
  Prepare(&now);
  loop.Arm(&never.timer, 0);
  loop.Arm(&never.timer, 1000000);
  loop.Arm(&now.timer, 1000000);
  loop.Arm(&now.timer, 0);
  loop.Run();
  EXPECT_THAT(calls.names, ElementsAre("now"));
}

TEST(Loop, ACallbackMayDisarmTheOthers) {
  Loop loop;
  ASSERT_TRUE(loop.Open());
  Calls calls{.loop = &loop};
  NamedTimer a{&calls, "a", {}}, b{&calls, "b", {}};
  struct Pair {
    Loop* loop;
    NamedTimer *a, *b;
    int fired = 0;
  } pair{&loop, &a, &b};
  for (NamedTimer* timer : {&a, &b}) {
    timer->timer.owner = &pair;
    timer->timer.fire = [](void* owner) {
      auto* self = static_cast<Pair*>(owner);
      ++self->fired;
      self->loop->Disarm(&self->a->timer);
      self->loop->Disarm(&self->b->timer);
      self->loop->Stop();
    };
    loop.Arm(&timer->timer, 0);
  }
  loop.Run();
  EXPECT_EQ(pair.fired, 1);
}

TEST(Loop, TellsOfAReadableDescriptorUntilItIsRemoved) {
  Loop loop;
  ASSERT_TRUE(loop.Open());
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]), write_end(ends[1]);
  struct Reader {
    Loop* loop;
    int fd, which = -1, calls = 0;
    NamedTimer last;
  } reader{&loop, read_end.get(), -1, 0, {}};
  Calls calls{.loop = &loop, .stop_after = 1};
  reader.last = {&calls, "last", {}};
  Prepare(&reader.last);
  Handler handler = {[](void* owner, int which) {
                       auto* self = static_cast<Reader*>(owner);
                       self->which = which;
                       ++self->calls;
                       self->loop->Remove(self->fd);  // it stays readable
                       self->loop->Arm(&self->last.timer, 0);
                     },
                     &reader, 7};
  ASSERT_TRUE(loop.Add(read_end.get(), &handler));
  ASSERT_EQ(write(write_end.get(), "x", 1), 1);
  loop.Run();
  EXPECT_EQ(reader.which, 7);
  EXPECT_EQ(reader.calls, 1);
}

}  // namespace
}  // namespace berth::monitor
