// Each failpoint of berthd, berth-monitor and berth-pull (src/base/failpoint.h) times each fault,
// over a whole life of a pod: afterwards, without anybody's help, every call succeeds within five
// seconds, no container was lost that its monitor had, every exit code is right, and nothing is
// left behind. The short form takes each point at its first hit; BERTH_E2E_MATRIX=whole takes more
// hits and more faults (hack/torture). BERTH_E2E_MATRIX_ONLY="store.|monitor.exit" is a regular
// expression that picks points, BERTH_E2E_REPORT a file that gets a line of JSON for each fault.
#include <errno.h>
#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>
#include <regex>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/failpoint_files.h"
#include "test/e2e/pod_life.h"

namespace berth::e2e {
namespace {

using ::testing::IsEmpty;

constexpr absl::Duration kConvergence = absl::Seconds(5);
constexpr absl::Duration kCall = absl::Seconds(30);
// A delay outlasts the caller, who comes again.
constexpr absl::Duration kShortCall = absl::Milliseconds(250);
constexpr int kDelayMs = 600;
constexpr int kMostHits = 6;  // of one point in the whole form
constexpr int kHostPort = 29080;

bool IsWhole() {
  const char* form = getenv("BERTH_E2E_MATRIX");
  return form != nullptr && std::string(form) == "whole";
}

bool IsWanted(const std::string& point) {
  const char* only = getenv("BERTH_E2E_MATRIX_ONLY");
  return only == nullptr || std::regex_search(point, std::regex(only));
}

// Points that only a start of berthd comes to.
bool IsOfRecovery(const std::string& point) { return absl::StartsWith(point, "recover."); }

// With a monitor its containers end; their exit codes are not known if it had not written them. It
// tells nobody before it has.
bool MayLoseContainer(const ArmedFault& fault) {
  return absl::StartsWith(fault.point, "monitor.") && fault.kind == "kill" &&
         fault.point != "monitor.announce" && fault.point != "monitor.zygote";
}

std::string TextOf(const ArmedFault& fault) {
  return absl::StrCat(fault.point, " ", fault.nth, " ", fault.kind,
                      fault.kind == "fail" ? absl::StrCat(" ", strerrorname_np(fault.value)) : "");
}

class CrashMatrixTest : public E2eTest {
 protected:
  void SetUp() override {
    ASSERT_OK(FailpointFiles::Make());
    E2eTest::SetUp();
    if (HasFatalFailure()) return;
    ASSERT_NO_FATAL_FAILURE(StartDaemon());
    FailpointFiles::Disarm();
    ASSERT_OK(Live("warm-up", /*restart=*/true));
    ASSERT_TRUE(Eventually(absl::Seconds(20), [this] { return IsSettled(); }));
    hits_ = FailpointFiles::Hits();
  }

  void TearDown() override {
    client_.reset();
    if (daemon_.has_value()) {
      FailpointFiles::Disarm();
      EXPECT_OK(daemon_->Terminate());
      EXPECT_EQ(daemon_->SanitizerReport(), "") << "it was started again since";
      RemoveTraces(*daemon_);
    }
    E2eTest::TearDown();
  }

  // One cell of the matrix.
  void Try(const ArmedFault& fault) {
    if (!IsWanted(fault.point)) return;
    SCOPED_TRACE(TextOf(fault));
    const size_t log_start = daemon_->Log().size();
    const int failures_before = CountFailures();
    const absl::Duration most = fault.kind == "delay" ? kShortCall : kCall;
    // Connected, as it will be afterwards.
    client_ = std::make_unique<Client>(daemon_->socket(), most);
    ASSERT_OK(client_->Call(&Runtime::Version, cri::VersionRequest()));
    OracleScope scope = Scope();
    ASSERT_OK_AND_ASSIGN(const Snapshot before, TakeSnapshot(scope));
    const absl::Time begin = absl::Now();
    FailpointFiles::Arm(fault);
    PodLife::Options options =
        LifeOptions(absl::StrCat("cell-", ++cells_), most, IsOfRecovery(fault.point));
    options.may_be_lost = [may = MayLoseContainer(fault)](const std::string&) { return may; };
    PodLife life(std::move(options));
    EXPECT_OK(life.Run());
    EXPECT_OK(life.Persist("RemoveImage", [&] { return client_->RemoveImage(Image()); }));
    // What goes on in the background may strike yet, and be what has to be started again.
    const bool struck = Eventually(absl::Seconds(2), [] { return FailpointFiles::HasStruck(); });
    // How often a life comes to a point counts all its processes, of which one may be hit.
    EXPECT_TRUE(struck || fault.nth > 1) << "the life never comes to this point";
    std::vector<std::string> left;
    Eventually(kConvergence, [&] {
      Revive(absl::OkStatus());
      // The daemon of `before` is another: of a new one descriptors are not compared.
      if (scope.daemon != daemon_->pid()) scope.daemon = -1;
      const auto after = TakeSnapshot(scope);
      if (after.ok()) left = Differences(WithoutDescriptors(before, scope), *after);
      return after.ok() && left.empty();
    });
    EXPECT_THAT(left, IsEmpty());
    EXPECT_THAT(life.lost(), IsEmpty());
    EXPECT_THAT(life.wrong_exits(), IsEmpty());
    const bool good = CountFailures() == failures_before;
    Report(fault, struck, left.size(), life, absl::Now() - begin, good);
    if (good) return;
    std::cout << TextOf(fault) << ", the daemon's log:\n"
              << daemon_->Log().substr(log_start) << std::endl;
    FailpointFiles::Disarm();
    // So that one failure does not spread.
    client_.reset();
    daemon_->Kill().IgnoreError();
    ASSERT_NO_FATAL_FAILURE(RemovePods());
  }

  // How often a life comes to `point`.
  int HitsOf(const std::string& point) const { return static_cast<int>(hits_.count(point)); }

 private:
  OracleScope Scope() const {
    return {
        .data_dir = daemon_->options().dir, .cgroup_name = NodeName(), .daemon = daemon_->pid()};
  }
  static Snapshot WithoutDescriptors(Snapshot snapshot, const OracleScope& scope) {
    if (scope.daemon == -1)
      std::erase_if(snapshot,
                    [](const auto& entry) { return absl::StartsWith(entry.first, "fd "); });
    return snapshot;
  }
  const std::string& Image() { return node().probe_image(); }

  void StartDaemon() {
    Daemon::Options options = Node::OptionsFor("matrix", 2);
    options.program = BERTH_FAILPOINTS_DIR "/berthd";
    options.ready_networks = 0;
    options.more_config += "[container]\nready_monitors = \"0\"\n";
    // Layers of a failed pull are for its next try, and then go.
    options.more_config += "[image]\nkeep_partial_seconds = \"1\"\n";
    ASSERT_OK_AND_ASSIGN(Daemon daemon, Daemon::Start(options));
    daemon_.emplace(std::move(daemon));
    client_ = std::make_unique<Client>(daemon_->socket(), kCall);
  }

  // True if it had died, and is there again. Its start may be what the fault strikes.
  bool Revive(const absl::Status& failure) {
    const absl::Duration patience =
        absl::IsUnavailable(failure) ? absl::Milliseconds(200) : absl::ZeroDuration();
    if (daemon_->IsAlive(patience)) return false;
    EXPECT_OK(StartAgain());
    return true;
  }

  absl::Status StartAgain() {
    absl::Status started = daemon_->StartAgain();
    if (!started.ok() && FailpointFiles::HasStruck()) started = daemon_->StartAgain();
    *client_ = Client(daemon_->socket(), most_);
    return started;
  }

  PodLife::Options LifeOptions(const std::string& name, absl::Duration most, bool restart) {
    most_ = most;
    PodLife::Options options = {.name = Name("-" + name),
                                .image = Image(),
                                .host_port = kHostPort,
                                .patience = kConvergence,
                                .revive = [this](const absl::Status& why) { return Revive(why); },
                                .client = [this]() -> Client& { return *client_; }};
    if (restart) {
      options.interlude = [this] {
        const absl::Status killed = daemon_->Kill();
        return killed.ok() ? StartAgain() : killed;
      };
    }
    return options;
  }

  absl::Status Live(const std::string& name, bool restart) {
    PodLife life(LifeOptions(name, kCall, restart));
    const absl::Status lived = life.Run();
    return lived.ok() ? client_->RemoveImage(Image()) : lived;
  }

  bool IsSettled() {
    const absl::StatusOr<Snapshot> snapshot = TakeSnapshot(Scope());
    if (!snapshot.ok()) return false;
    for (const auto& [entry, count] : *snapshot) {
      if (absl::StartsWith(entry, "row addresses") || absl::StrContains(entry, "/trash/"))
        return false;
    }
    return true;
  }

  void RemovePods() {
    ASSERT_OK(daemon_->StartAgain());
    client_ = std::make_unique<Client>(daemon_->socket(), kCall);
    ASSERT_OK_AND_ASSIGN(const auto pods, client_->ListPods());
    for (const auto& pod : pods) EXPECT_OK(client_->RemovePod(pod.id()));
    client_->RemoveImage(Image()).IgnoreError();
    Eventually(absl::Seconds(10), [this] { return IsSettled(); });
  }

  static int CountFailures() {
    const auto& result = *testing::UnitTest::GetInstance()->current_test_info()->result();
    int failures = 0;
    for (int i = 0; i < result.total_part_count(); ++i)
      failures += result.GetTestPartResult(i).failed();
    return failures;
  }

  static void Report(const ArmedFault& fault, bool struck, size_t leaks, const PodLife& life,
                     absl::Duration took, bool good) {
    const char* path = getenv("BERTH_E2E_REPORT");
    if (path == nullptr) return;
    const Json line = {{"point", fault.point},
                       {"nth", fault.nth},
                       {"fault", fault.kind},
                       {"value", fault.value},
                       {"struck", struck},
                       {"leaks", leaks},
                       {"lost_containers", life.lost().size()},
                       {"wrong_exits", life.wrong_exits().size()},
                       {"milliseconds", absl::ToInt64Milliseconds(took)},
                       {"good", good}};
    std::ofstream(path, std::ios::app) << line.dump() << "\n";
  }

  std::optional<Daemon> daemon_;
  std::unique_ptr<Client> client_;
  absl::Duration most_ = kCall;
  std::multiset<std::string> hits_;
  int cells_ = 0;
};

TEST_F(CrashMatrixTest, KilledAtEachPoint) {
  for (const char* point : kFailpoints) {
    const int most = IsWhole() ? std::clamp(HitsOf(point), 1, kMostHits) : 1;
    for (int nth = 1; nth <= most; ++nth)
      ASSERT_NO_FATAL_FAILURE(Try({.point = point, .nth = nth, .kind = "kill"}));
  }
}

TEST_F(CrashMatrixTest, FailedAtEachPoint) {
  constexpr int kErrors[] = {EIO, ENOSPC, EMFILE, ENOMEM};
  size_t turn = 0;
  for (const char* point : kFailpoints) {
    ++turn;
    for (size_t i = 0; i < (IsWhole() ? std::size(kErrors) : 1); ++i) {
      const int error = kErrors[(turn + i) % std::size(kErrors)];
      ASSERT_NO_FATAL_FAILURE(Try({.point = point, .kind = "fail", .value = error}));
    }
  }
}

TEST_F(CrashMatrixTest, DelayedAtEachPoint) {
  size_t turn = 0;
  for (const char* point : kFailpoints) {
    if (!IsWhole() && ++turn % 4 != 0) continue;
    ASSERT_NO_FATAL_FAILURE(Try({.point = point, .kind = "delay", .value = kDelayMs}));
  }
}

}  // namespace
}  // namespace berth::e2e
