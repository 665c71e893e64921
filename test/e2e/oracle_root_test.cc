// The oracle is itself tested: a planted leak of each kind is found and named, and nothing is found
// once it is gone.
#include "test/e2e/oracle.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "src/base/unique_fd.h"
#include "test/e2e/isolation.h"

namespace berth::e2e {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kShort = absl::Milliseconds(30);

int Shell(const std::string& command) {
  return std::system(("PATH=/usr/sbin:/usr/bin:/sbin:/bin; " + command).c_str());
}

// A child that does `setup` (0: fine) and then waits to be killed; a zombie if setup says so with
// code > 0.
class Child {
 public:
  explicit Child(const std::function<int()>& setup) {
    int ready[2];
    EXPECT_EQ(pipe2(ready, O_CLOEXEC), 0);
    pid_ = fork();
    if (pid_ == 0) {
      const int code = setup();
      if (code > 0) _exit(code);
      if (write(ready[1], "r", 1) != 1) _exit(1);
      for (;;) pause();
    }
    close(ready[1]);
    char byte = 0;
    EXPECT_GE(read(ready[0], &byte, 1), 0);  // its word, or its death
    close(ready[0]);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

 private:
  pid_t pid_ = -1;
};

class OracleTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = NodeDir() + "/oracle";
    fs::create_directories(dir_ + "/pods");
    cgroup_ = "/sys/fs/cgroup/";
    if (fs::exists("/sys/fs/cgroup/pids")) cgroup_ += "pids/";
    cgroup_ += NodeName();
    fs::create_directory(cgroup_);
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open((dir_ + "/berth.db").c_str(), &db), SQLITE_OK);
    db_ = db;
    Sql("CREATE TABLE IF NOT EXISTS addresses (address TEXT PRIMARY KEY)");
    scope_ = {.data_dir = dir_, .cgroup_name = NodeName(), .daemon = getpid()};
    auto before = TakeSnapshot(scope_);
    ASSERT_TRUE(before.ok()) << before.status();
    before_ = *before;
  }
  void TearDown() override {
    sqlite3_close(db_);
    rmdir(cgroup_.c_str());
    fs::remove_all(dir_);
  }

  void Sql(const char* text) {
    ASSERT_EQ(sqlite3_exec(db_, text, nullptr, nullptr, nullptr), SQLITE_OK) << text;
  }

  std::string Found() {
    auto lines = WaitForSame(scope_, before_, kShort);
    EXPECT_TRUE(lines.ok()) << lines.status();
    std::string all;
    for (const std::string& line : *lines) all += line + "\n";
    return all;
  }
  void ExpectFinds(const std::string& line) {
    EXPECT_NE(("\n" + Found()).find("\n" + line), std::string::npos)
        << "not found: " << line << "\nin:\n"
        << Found();
  }

  std::string dir_, cgroup_;
  sqlite3* db_ = nullptr;
  OracleScope scope_;
  Snapshot before_;
};

TEST_F(OracleTest, FindsNothingWhereNothingChanged) { EXPECT_EQ(Found(), ""); }

TEST_F(OracleTest, FindsAMount) {
  ASSERT_EQ(mount("none", (dir_ + "/pods").c_str(), "tmpfs", 0, nullptr), 0);
  ExpectFinds("+1 mount " + dir_ + "/pods tmpfs");
  umount((dir_ + "/pods").c_str());
  EXPECT_EQ(Found(), "");
}

TEST_F(OracleTest, FindsANamespaceThatAProcessIsIn) {
  Child child([] { return unshare(CLONE_NEWIPC); });
  ExpectFinds("+1 namespace ipc");
}

TEST_F(OracleTest, FindsANamespaceThatOnlyAnFdHolds) {
  UniqueFd held;
  {
    const int own = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
    ASSERT_EQ(unshare(CLONE_NEWUTS), 0);
    held.reset(open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(setns(own, CLONE_NEWUTS), 0);
    close(own);
  }
  ExpectFinds("+1 namespace uts");
  held.reset();
  EXPECT_EQ(Found(), "");
}

TEST_F(OracleTest, FindsALink) {
  ASSERT_EQ(Shell("ip link add leak0 type veth peer name leak1"), 0);
  ExpectFinds("+1 link leak0");
  ASSERT_EQ(Shell("ip link del leak0"), 0);
  EXPECT_EQ(Found(), "");
}

TEST_F(OracleTest, FindsAPacketFilterTable) {
  if (Shell("nft add table ip leak 2>/dev/null") != 0)
    GTEST_SKIP() << "this kernel has no nftables for IPv4";
  ExpectFinds("+1 nft table ip leak");
  ASSERT_EQ(Shell("nft delete table ip leak"), 0);
  EXPECT_EQ(Found(), "");
}

TEST_F(OracleTest, FindsAPacketFilterRule) {
  if (Shell("nft add table ip kept 2>/dev/null") != 0)
    GTEST_SKIP() << "this kernel has no nftables for IPv4";
  ASSERT_EQ(Shell("nft add chain ip kept c"), 0);
  before_ = *TakeSnapshot(scope_);
  ASSERT_EQ(Shell("nft add rule ip kept c ip saddr 10.1.2.3 accept"), 0);
  ExpectFinds("+1 nft table ip kept { ip saddr 10.1.2.3 accept");
  ASSERT_EQ(Shell("nft delete table ip kept"), 0);
}

TEST_F(OracleTest, FindsACgroup) {
  ASSERT_TRUE(fs::create_directory(cgroup_ + "/leak"));
  ExpectFinds("+1 cgroup " + cgroup_ + "/leak");
  rmdir((cgroup_ + "/leak").c_str());
  EXPECT_EQ(Found(), "");
}

TEST_F(OracleTest, FindsAProcess) {
  {
    Child child([] { return prctl(PR_SET_NAME, "berth-leak"); });
    ExpectFinds("+1 process berth-leak");
  }
  EXPECT_EQ(Found(), "");
}

TEST_F(OracleTest, FindsAZombie) {
  {
    Child child([] {
      prctl(PR_SET_NAME, "berth-dead");
      return 1;
    });
    ExpectFinds("+1 process berth-dead (zombie)");
  }
  EXPECT_EQ(Found(), "");
}

TEST_F(OracleTest, FindsAnFdOfTheDaemon) {
  UniqueFd leak(open("/dev/full", O_RDONLY | O_CLOEXEC));
  ExpectFinds("+1 fd /dev/full");
  leak.reset();
  EXPECT_EQ(Found(), "");
}

TEST_F(OracleTest, FindsAFile) {
  std::ofstream(dir_ + "/pods/leak") << "x";
  ExpectFinds("+1 file pods/leak");
}

TEST_F(OracleTest, FindsARow) {
  Sql("INSERT INTO addresses VALUES ('10.1.2.3')");
  ExpectFinds("+1 row addresses 10.1.2.3");
  Sql("DELETE FROM addresses");
  EXPECT_EQ(Found(), "");
}

TEST_F(OracleTest, FindsANamedNetworkNamespace) {
  ASSERT_EQ(Shell("ip netns add leak"), 0);
  ExpectFinds("+1 netns /run/netns/leak");
  ASSERT_EQ(Shell("ip netns del leak"), 0);
}

TEST_F(OracleTest, FindsALoopDevice) {
  const std::string file = NodeDir() + "/loop.img";
  std::ofstream(file) << "x";
  fs::resize_file(file, 1 << 20);
  if (Shell("losetup -f " + file + " 2>/dev/null") != 0) GTEST_SKIP() << "no loop devices here";
  ExpectFinds("+1 loop ");
  EXPECT_EQ(Shell("losetup -d $(losetup -n -O NAME -j " + file + ")"), 0);
}

TEST_F(OracleTest, FindsWhatIsLost) {
  ASSERT_TRUE(fs::remove(dir_ + "/pods"));
  ExpectFinds("-1 file pods");
}

}  // namespace
}  // namespace berth::e2e
