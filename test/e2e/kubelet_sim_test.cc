// A node as a kubelet drives it: pods that come and go, probes, restarts, resizes, rotations, and
// the polling around them. BERTH_E2E_KUBELET_PODS=100 BERTH_E2E_KUBELET_SECONDS=600 for the long
// form.
#include <gmock/gmock.h>

#include <cstdlib>
#include <iostream>
#include <thread>

#include "absl/time/clock.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/kubelet_sim.h"

namespace berth::e2e {
namespace {

using ::testing::IsEmpty;

int Asked(const char* variable, int otherwise) {
  const char* asked = getenv(variable);
  return asked != nullptr ? atoi(asked) : otherwise;
}

class KubeletTest : public E2eTest {
 protected:
  KubeletOptions Options() {
    const int seconds = Asked("BERTH_E2E_KUBELET_SECONDS", 15);
    const bool is_long = seconds > 60;
    return {.socket = node().daemon().socket(),
            .name = Name(),
            .image = node().probe_image(),
            .pods = Asked("BERTH_E2E_KUBELET_PODS", 8),
            .runs = absl::Seconds(seconds),
            .pod_lives = absl::Seconds(is_long ? 60 : 6),
            .probe_period = absl::Seconds(is_long ? 5 : 1)};
  }
  static void Tell(const KubeletReport& report) {
    std::cout << report.Text() << std::endl;
    EXPECT_THAT(report.unexpected, IsEmpty());
    EXPECT_GT(report.done.at("pods"), 0);
    EXPECT_GT(report.done.at("probes"), 0);
    EXPECT_GT(report.done.at("restarts"), 0);
    EXPECT_GT(report.done.at("events"), 0);
  }
};

TEST_F(KubeletTest, MeetsNothingUnexpected) { Tell(KubeletSim(Options()).Run()); }

// Once a minute in the long form.
TEST_F(KubeletTest, MeetsNothingUnexpectedWhileBerthdIsKilled) {
  const KubeletOptions options = Options();
  KubeletSim kubelet(options);
  kubelet.ExpectInterruptions();
  std::atomic<bool> over = false;
  std::atomic<int> kills = 0;
  std::jthread killer([&] {
    const absl::Duration between = std::min(absl::Minutes(1), options.runs / 4);
    for (absl::Time next = absl::Now() + between; !over; absl::SleepFor(absl::Milliseconds(50))) {
      if (absl::Now() < next || over) continue;
      EXPECT_OK(node().daemon().Kill());
      EXPECT_OK(node().daemon().StartAgain());
      ++kills;
      next = absl::Now() + between;
    }
  });
  const KubeletReport report = kubelet.Run();
  over = true;
  killer.join();
  EXPECT_GT(kills, 0);
  std::cout << kills << " kills of berthd; ";
  node().Reconnect();
  Tell(report);
}

}  // namespace
}  // namespace berth::e2e
