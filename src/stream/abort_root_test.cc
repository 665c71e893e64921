// Clients that vanish at every point of a session: nothing of it may stay. BERTH_STREAM_ABORTS says
// how many sessions are aborted (48 if it is not set).
#include <cstdlib>
#include <string>

#include "src/stream/testing/stream_fixture.h"

namespace berth {
namespace {

using namespace testing_stream;

constexpr int kPoints = 12;

size_t CountEntries(const std::string& directory) {
  const auto names = ListDir(AT_FDCWD, directory);
  EXPECT_TRUE(names.ok()) << names.status();
  return names.ok() ? names->size() : 0;
}

class BerthStreamAbortTest : public BerthStreamTest {
 protected:
  // An exec that comes as far as `point`.
  void ComeTo(int point) {
    spdy_.emplace();
    const std::string head = SpdyUpgradeOf(PathOf(SessionKind::kExec), "v4.channel.k8s.io");
    if (point == 0) return;
    client().Send(head.substr(0, head.size() / 2));
    if (point == 1) return;
    client().Send(head.substr(head.size() / 2));
    if (point == 2) return;
    process().Redeem(SessionKind::kExec, kAllStreams);
    if (point == 3) return;
    client().ReceiveHead();
    client().Send(spdy_->Open(StreamType("error")));
    if (point == 4) return;
    for (const char* type : {"stdin", "stdout", "stderr"})
      client().Send(spdy_->Open(StreamType(type)));
    if (point == 5) return;
    process().Begin(kAllStreams);
    if (point == 6) return;
    const std::string frame = SpdyDataFrame(3, 0, std::string(30'000, 'i'));
    client().Send(frame.substr(0, 10'000));
    if (point == 7) return;
    client().Send(frame.substr(10'000));
    // More than a pipe holds: the helper keeps the rest.
    for (int i = 0; i < 5; ++i) client().Send(frame);
    if (point == 8) return;
    WriteAll(process().out.get(), std::string(60'000, 'o'));
    if (point == 9) return;
    process().Exit(0);
    if (point == 10) return;
    process().out.reset();
    process().err.reset();
    client().Next();
  }
};

TEST_F(BerthStreamAbortTest, LeavesNothingWhereverTheClientStops) {
  const char* const wanted = std::getenv("BERTH_STREAM_ABORTS");
  const int sessions = wanted == nullptr ? 2 * 2 * kPoints : std::atoi(wanted);
  process_.reset();
  const size_t fds = CountEntries("/proc/self/fd"), threads = CountEntries("/proc/self/task");
  for (int i = 0; i < sessions; ++i) {
    process_.emplace();
    ComeTo(i % kPoints);
    if (i / kPoints % 2 == 0) {
      client().Close();
    } else {
      client().Break();
    }
    if (i % kPoints == 2) process().Redeem(SessionKind::kExec, kAllStreams);
    ASSERT_TRUE(process().Ends()) << "point " << i % kPoints;
    process_.reset();
  }
  EXPECT_EQ(CountEntries("/proc/self/fd"), fds);
  EXPECT_EQ(CountEntries("/proc/self/task"), threads);
}

}  // namespace
}  // namespace berth
