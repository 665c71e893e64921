#include "src/server/reload.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "src/server/fake_notify_socket.h"

namespace berth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class ReloadTest : public testing::Test {
 protected:
  ReloadTest()
      : file_(::memfd_create("log", MFD_CLOEXEC)),
        log_(LogLevel::kInfo, LogFormat::kText, file_.get()) {}

  void Reload(const absl::StatusOr<Config>& config) {
    ReloadConfig([&] { return config; }, &running_, &log_);
  }
  std::string Logged() {
    std::string text(static_cast<size_t>(::lseek(file_.get(), 0, SEEK_END)), '\0');
    EXPECT_EQ(::pread(file_.get(), text.data(), text.size(), 0), ssize_t(text.size()));
    return text;
  }

  FakeNotifySocket manager_;
  Config running_;
  UniqueFd file_;
  Log log_;
};

TEST_F(ReloadTest, TakesTheLogsLevelOver) {
  Config read;
  read.log_level = "debug";
  Reload(read);
  log_.Debug("seen");
  EXPECT_THAT(Logged(), HasSubstr("taken_over=log.level"));
  EXPECT_THAT(Logged(), HasSubstr("msg=seen"));
  EXPECT_THAT(manager_.Received(), ElementsAre(StartsWith("RELOADING=1\n"), "READY=1\nSTATUS="));
}

TEST_F(ReloadTest, NamesWhatNeedsARestartEachTimeAndLeavesIt) {
  Config read;
  read.metrics_containers = "false";
  read.bridge = "other";
  read.handlers["crun"].path = "/usr/bin/crun";
  Reload(read);
  EXPECT_EQ(running_.metrics_containers, "false");
  EXPECT_EQ(running_.bridge, "berth0");
  EXPECT_THAT(Logged(), HasSubstr("taken_over=metrics.containers"));
  EXPECT_THAT(Logged(), HasSubstr("keys=\"network.bridge handlers\""));
  const size_t before = Logged().size();
  Reload(read);
  EXPECT_THAT(Logged().substr(before), HasSubstr("keys=\"network.bridge handlers\""));
}

TEST_F(ReloadTest, ABrokenFileChangesNothingAndIsTold) {
  Reload(absl::InvalidArgumentError("berth.toml:3: unknown key log.levle"));
  log_.Debug("unseen");
  EXPECT_THAT(Logged(), HasSubstr("error=\"berth.toml:3: unknown key log.levle\""));
  EXPECT_THAT(Logged(), Not(HasSubstr("unseen")));
  EXPECT_THAT(manager_.Received(),
              ElementsAre(StartsWith("RELOADING=1\n"),
                          "READY=1\nSTATUS=configuration not reloaded: berth.toml:3: unknown key "
                          "log.levle"));
}

}  // namespace
}  // namespace berth
