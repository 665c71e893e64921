// Pods that live while berthd is killed about each second, and monitors now and then: every life
// comes to its end, no container is lost whose monitor was let live, every exit code is right, and
// nothing is left behind. BERTH_E2E_STORM_CYCLES sets how many lives (hack/storm), and
// BERTH_E2E_REPORT a file that gets a line of JSON.
#include <gmock/gmock.h>
#include <signal.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <random>
#include <set>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/monitor_process.h"
#include "test/e2e/own_node.h"
#include "test/e2e/pod_life.h"

namespace berth::e2e {
namespace {

using ::testing::IsEmpty;

constexpr int kAtATime = 6;
constexpr int kReadyNetworks = 3;  // as daemon.h configures it
constexpr absl::Duration kConvergence = absl::Seconds(5);
constexpr int kLeastPauseMs = 500, kMostPauseMs = 1500;  // between kills of berthd
constexpr int kKillsPerMonitor = 3;                      // of berthd, for one of a monitor

int CyclesWanted() {
  int cycles = 900;
  const char* wanted = getenv("BERTH_E2E_STORM_CYCLES");
  EXPECT_TRUE(wanted == nullptr || absl::SimpleAtoi(wanted, &cycles)) << wanted;
  return cycles;
}

class KillStormTest : public E2eTest {
 protected:
  void SetUp() override {
    E2eTest::SetUp();
    if (HasFatalFailure()) return;
    ASSERT_OK_AND_ASSIGN(OwnNode own, OwnNode::Start(Name(), ""));
    own_.emplace(std::move(own));
  }
  void TearDown() override {
    own_.reset();
    E2eTest::TearDown();
  }

  Daemon& daemon() { return own_->daemon(); }

  // A life on a connection of its own, which looks for the daemon again after each kill.
  class Cycle {
   public:
    Cycle(KillStormTest& storm, const std::string& name)
        : storm_(storm),
          client_(storm.daemon().socket(), absl::Seconds(30)),
          starts_(storm.Starts()),
          life_({.name = name,
                 .image = storm.node().probe_image(),
                 .patience = kConvergence,
                 .revive = [this](const absl::Status&) { return Revive(); },
                 .client = [this]() -> Client& { return client_; },
                 .may_be_lost = [this](const std::string& pod) { return storm_.WasKilled(pod); }}) {
    }
    PodLife& life() { return life_; }

   private:
    bool Revive() {
      const int starts = storm_.Starts();
      return std::exchange(starts_, starts) != starts;
    }

    KillStormTest& storm_;
    Client client_;
    int starts_;
    PodLife life_;
  };

  // Waits until a kill that is under way has been followed by a start.
  int Starts() {
    absl::MutexLock lock(&mu_);
    return starts_;
  }
  bool WasKilled(const std::string& pod) {
    absl::MutexLock lock(&mu_);
    return killed_pods_.contains(pod);
  }

  void KillUntil(const std::atomic<bool>& over) {
    std::mt19937_64 random(7);
    for (int kills = 1; !over; ++kills) {
      const absl::Time blow = absl::Now() + absl::Milliseconds(std::uniform_int_distribution<int>(
                                                kLeastPauseMs, kMostPauseMs)(random));
      Eventually(blow - absl::Now(), [&] { return over.load(); });
      if (over) return;
      absl::MutexLock lock(&mu_);
      if (kills % kKillsPerMonitor == 0) KillMonitor(random);
      EXPECT_OK(daemon().Kill());
      EXPECT_OK(daemon().StartAgain());
      ++starts_;
    }
  }

  void Report(int cycles, int failed, size_t lost, size_t wrong, size_t leaks,
              absl::Duration took) {
    absl::MutexLock lock(&mu_);
    const Json line = {{"storm", "pods"},
                       {"cycles", cycles},
                       {"failed", failed},
                       {"kills_of_berthd", starts_},
                       {"kills_of_monitors", monitors_killed_},
                       {"lost_containers", lost},
                       {"wrong_exits", wrong},
                       {"leaks", leaks},
                       {"seconds", absl::ToInt64Seconds(took)}};
    std::cout << line.dump() << std::endl;
    if (const char* path = getenv("BERTH_E2E_REPORT"); path != nullptr)
      std::ofstream(path, std::ios::app) << line.dump() << "\n";
  }

 private:
  void KillMonitor(std::mt19937_64& random) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const std::vector<MonitorProcess> monitors = MonitorProcesses();
    if (monitors.empty()) return;
    const MonitorProcess& one = monitors[random() % monitors.size()];
    killed_pods_.insert(one.pod);
    monitors_killed_ += kill(one.pid, SIGKILL) == 0;
  }

  std::optional<OwnNode> own_;
  absl::Mutex mu_;
  int starts_ ABSL_GUARDED_BY(mu_) = 0;
  int monitors_killed_ ABSL_GUARDED_BY(mu_) = 0;
  std::set<std::string> killed_pods_ ABSL_GUARDED_BY(mu_);
};

TEST_F(KillStormTest, PodsLiveThroughKillsOfBerthdAndOfMonitors) {
  const int cycles = CyclesWanted();
  const OracleScope scope = {.data_dir = daemon().options().dir, .cgroup_name = NodeName()};
  ASSERT_OK(Cycle(*this, Name("-first")).life().Run());
  // What is made in advance, and what is given back in the background.
  const auto settled = [&] {
    const auto snapshot = TakeSnapshot(scope);
    if (!snapshot.ok()) return false;
    int links = 0;
    for (const auto& [entry, count] : *snapshot) {
      if (entry == "link bth*") links = count;
      if (entry.starts_with("row addresses") || entry.find("/trash/") != std::string::npos)
        return false;
    }
    return links == 2 * kReadyNetworks;  // the shared daemon's too
  };
  ASSERT_TRUE(Eventually(absl::Seconds(30), settled));
  ASSERT_OK_AND_ASSIGN(const Snapshot before, TakeSnapshot(scope));

  const absl::Time begin = absl::Now();
  std::atomic<bool> over = false;
  std::atomic<int> next = 0, failed = 0;
  absl::Mutex found_mu;
  std::vector<std::string> lost, wrong;
  std::thread killer([&] { KillUntil(over); });
  std::vector<std::thread> workers;
  for (int i = 0; i < kAtATime; ++i) {
    workers.emplace_back([&] {
      for (int number = next++; number < cycles; number = next++) {
        Cycle cycle(*this, Name(absl::StrCat("-", number)));
        const absl::Status lived = cycle.life().Run();
        EXPECT_OK(lived);
        failed += !lived.ok();
        absl::MutexLock lock(&found_mu);
        for (const std::string& one : cycle.life().lost()) lost.push_back(one);
        for (const std::string& one : cycle.life().wrong_exits()) wrong.push_back(one);
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  over = true;
  killer.join();
  const absl::Duration took = absl::Now() - begin;

  ASSERT_OK(Cycle(*this, Name("-last")).life().Run());
  ASSERT_OK_AND_ASSIGN(const auto left, WaitForSame(scope, before, absl::Seconds(30)));
  EXPECT_THAT(left, IsEmpty());
  EXPECT_THAT(lost, IsEmpty());
  EXPECT_THAT(wrong, IsEmpty());
  EXPECT_GT(Starts(), 0);
  Report(cycles, failed, lost.size(), wrong.size(), left.size(), took);
}

}  // namespace
}  // namespace berth::e2e
