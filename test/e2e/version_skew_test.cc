// A berthd that meets what another version of it left: a newer database, and monitors that speak
// another version of their protocol. The rules are in docs/formats.
#include <gmock/gmock.h>
#include <poll.h>
#include <sqlite3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "src/kernel/socket.h"
#include "src/runtime/monitor_protocol.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/process_search.h"

namespace berth::e2e {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// Stands in the place of a monitor's socket: closes each connection after the first packet, as a
// monitor does with a version that it does not know, or answers in another version.
class OtherMonitor {
 public:
  enum class Manner { kCloses, kAnswers };
  OtherMonitor(const std::string& path, Manner manner) : path_(path), manner_(manner) {
    absl::StatusOr<UniqueFd> listener = ListenUnix(path, SOCK_SEQPACKET, 0600);
    EXPECT_OK(listener);
    if (listener.ok()) listener_ = *std::move(listener);
    thread_ = std::thread([this] { Run(); });
  }
  ~OtherMonitor() {
    stop_ = true;
    thread_.join();
    unlink(path_.c_str());
  }

 private:
  void Run() {
    while (!stop_) {
      pollfd ready = {.fd = listener_.get(), .events = POLLIN, .revents = 0};
      if (poll(&ready, 1, 20) != 1) continue;
      const UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      char packet[wire::kMaxMessageBytes];
      if (recv(connection.get(), packet, sizeof packet, 0) <= 0) continue;
      const wire::Header other = {.magic = wire::kProtocolMagic,
                                  .version = wire::kProtocolVersion + 1,
                                  .type = static_cast<uint16_t>(wire::Type::kOk)};
      if (manner_ == Manner::kAnswers) send(connection.get(), &other, sizeof other, MSG_NOSIGNAL);
    }
  }

  const std::string path_;
  const Manner manner_;
  UniqueFd listener_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

class VersionSkewTest : public E2eTest {
 protected:
  std::string Dir() { return node().daemon().options().dir; }
  void StartAgain() {
    ASSERT_OK(node().daemon().StartAgain());
    node().Reconnect();
  }
  void SetSchemaVersion(const std::string& version) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open((Dir() + "/data/berth.db").c_str(), &db), SQLITE_OK);
    const std::string sql = "PRAGMA user_version = " + version;
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(db);
  }
};

TEST_F(VersionSkewTest, NewerDatabaseIsRefusedInOneLineAndNotTouched) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  ASSERT_OK(node().daemon().Terminate());
  ASSERT_NO_FATAL_FAILURE(SetSchemaVersion("99"));
  const absl::Status refused = node().daemon().StartAgain();
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(std::string(refused.message()), HasSubstr("schema version 99 is newer than"));
  EXPECT_GT(ProcessWith("sleep"), 0);
  EXPECT_FALSE(fs::exists(Dir() + "/data/berth.db.damaged"));
  ASSERT_NO_FATAL_FAILURE(SetSchemaVersion("4"));
  ASSERT_NO_FATAL_FAILURE(StartAgain());
  ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
  EXPECT_EQ(status.state(), cri::CONTAINER_RUNNING);
}

TEST_F(VersionSkewTest, MonitorOfAnotherVersionIsLeftAloneAndToldOf) {
  for (const auto manner : {OtherMonitor::Manner::kCloses, OtherMonitor::Manner::kAnswers}) {
    ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
    ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
    ASSERT_OK(node().daemon().Kill());
    const std::string socket = Dir() + "/state/pods/" + pod.id() + "/monitor.sock";
    fs::rename(socket, socket + ".real");
    const size_t log_before = node().daemon().Log().size();
    {
      const OtherMonitor other(socket, manner);
      ASSERT_NO_FATAL_FAILURE(StartAgain());
      ASSERT_OK_AND_ASSIGN(const auto status, client().PodStatus(pod.id()));
      EXPECT_EQ(status.state(), cri::SANDBOX_READY);
      ASSERT_OK_AND_ASSIGN(const auto container, client().ContainerStatus(id));
      EXPECT_EQ(container.state(), cri::CONTAINER_UNKNOWN);
      EXPECT_FALSE(client().Exec(id, {"/probe", "exit", "0"}).ok());
      EXPECT_GT(ProcessWith("sleep"), 0);
    }
    EXPECT_THAT(node().daemon().Log().substr(log_before), HasSubstr("version"));
    // As after an upgrade or a downgrade to one that speaks it.
    fs::rename(socket + ".real", socket);
    EXPECT_TRUE(Eventually(absl::Seconds(30), [&] {
      const auto read = client().ContainerStatus(id);
      return read.ok() && read->state() == cri::CONTAINER_RUNNING;
    }));
    ASSERT_OK_AND_ASSIGN(const auto exec, client().Exec(id, {"/probe", "exit", "3"}));
    EXPECT_EQ(exec.exit_code(), 3);
  }
}

TEST_F(VersionSkewTest, PodWithAMonitorOfAnotherVersionCanBeStoppedAndRemoved) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  ASSERT_OK(node().daemon().Kill());
  const std::string socket = Dir() + "/state/pods/" + pod.id() + "/monitor.sock";
  fs::rename(socket, socket + ".real");
  const OtherMonitor other(socket, OtherMonitor::Manner::kAnswers);
  ASSERT_NO_FATAL_FAILURE(StartAgain());
  EXPECT_OK(client().StopPod(pod.id()));
  ASSERT_OK_AND_ASSIGN(const auto container, client().ContainerStatus(id));
  EXPECT_EQ(container.state(), cri::CONTAINER_EXITED);
  EXPECT_TRUE(Eventually(absl::Seconds(30), [] { return ProcessWith("sleep") == 0; }));
  EXPECT_OK(client().RemovePod(pod.id()));
}

}  // namespace
}  // namespace berth::e2e
