// Starts that cannot be, and a full disk: one clear line, a code that is not zero, nothing left.
#include <gmock/gmock.h>
#include <sys/mount.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <random>

#include "test/e2e/e2e_test.h"

namespace berth::e2e {
namespace {

using ::testing::HasSubstr;

class FailureTest : public E2eTest {
 protected:
  static void ExpectOneLine(const FailedStart& start) {
    EXPECT_NE(start.exit_code, 0);
    EXPECT_LT(start.exit_code, 128) << "died of a signal";
    EXPECT_EQ(std::count(start.output.begin(), start.output.end(), '\n'), 1) << start.output;
  }
  static void Forget(const Daemon::Options& options) {
    std::filesystem::remove_all(options.dir);
    std::filesystem::remove(options.dir + ".log");
  }
};

TEST_F(FailureTest, SecondDaemonOnTheSameDirectoryIsRefusedAndTheFirstGoesOn) {
  Daemon::Options options = node().daemon().options();
  // Another log file, the same directory.
  const std::string link = NodeDir() + "/second";
  std::filesystem::create_directory_symlink(options.dir, link);
  Daemon::Options second = options;
  second.dir = link;
  ASSERT_OK_AND_ASSIGN(const FailedStart start, StartExpectingFailure(second));
  ExpectOneLine(start);
  EXPECT_OK(client().Call(&Runtime::Version, cri::VersionRequest()));
  std::filesystem::remove(link);
  std::filesystem::remove(link + ".log");
  ASSERT_OK_AND_ASSIGN(const Pod pod, Pod::Run(client(), MakePodConfig(Name())));
}

TEST_F(FailureTest, WithoutPrivilegesItSaysSo) {
  Daemon::Options options = Node::OptionsFor("nobody", 3);
  std::filesystem::create_directories(options.dir);
  std::filesystem::permissions(options.dir, std::filesystem::perms::all);
  options.prefix = {"/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"};
  ASSERT_OK_AND_ASSIGN(const FailedStart start, StartExpectingFailure(options));
  ExpectOneLine(start);
  EXPECT_THAT(start.output, HasSubstr("root"));
  Forget(options);
}

TEST_F(FailureTest, BadConfigurationNamesFileAndPlace) {
  for (const char* bad : {"[network\n", "[no_such_section]\nx = 1\n", "[log]\nno_such_key = 1\n"}) {
    Daemon::Options options = Node::OptionsFor("bad-config", 3);
    options.more_config = bad;
    ASSERT_OK_AND_ASSIGN(const FailedStart start, StartExpectingFailure(options));
    ExpectOneLine(start);
    EXPECT_THAT(start.output, HasSubstr("berth.toml"));
    Forget(options);
  }
}

TEST_F(FailureTest, TakenMetricsPortIsNamed) {
  Daemon::Options options = Node::OptionsFor("port", 3);
  options.more_config = "[metrics]\nlisten = \"127.0.0.1:29476\"\n";
  ASSERT_OK_AND_ASSIGN(Daemon daemon, Daemon::Start(options));
  Daemon::Options second = Node::OptionsFor("port2", 4);
  second.more_config = options.more_config;
  ASSERT_OK_AND_ASSIGN(const FailedStart start, StartExpectingFailure(second));
  EXPECT_THAT(start.output, HasSubstr("127.0.0.1:29476"));
  Forget(second);
  EXPECT_OK(daemon.Terminate());
  RemoveTraces(daemon);
}

TEST_F(FailureTest, BadSubnetIsNamed) {
  Daemon::Options options = Node::OptionsFor("bad-subnet", 3);
  options.ipv4_subnet = "10.1.2.3.4/99";
  ASSERT_OK_AND_ASSIGN(const FailedStart start, StartExpectingFailure(options));
  ExpectOneLine(start);
  EXPECT_THAT(start.output, HasSubstr("10.1.2.3.4/99"));
  Forget(options);
}

TEST_F(FailureTest, FullDiskFailsThePullAndALaterSmallOneWorks) {
  const Daemon::Options options = Node::OptionsFor("full", 3);
  std::filesystem::create_directories(options.dir);
  ASSERT_EQ(mount("e2e-full", options.dir.c_str(), "tmpfs", 0, "size=8m"), 0);
  ASSERT_OK_AND_ASSIGN(Daemon daemon, Daemon::Start(options));
  {
    Client small_disk(daemon.socket());
    std::string noise(24 << 20, '\0');
    std::mt19937_64 random(1);
    for (size_t i = 0; i + 8 <= noise.size(); i += 8) {
      const uint64_t word = random();
      memcpy(&noise[i], &word, sizeof word);
    }
    const std::string big =
        node().registry().Add("big", "v1", Build({.layers = {{{File("noise", noise)}}}}));
    const auto pulled = small_disk.Pull(big);
    EXPECT_CODE(pulled, kResourceExhausted, kUnknown);
    EXPECT_THAT(std::string(pulled.status().message()), HasSubstr("o space left on device"));
    ASSERT_OK_AND_ASSIGN(const auto status, small_disk.ImageStatus(big));
    EXPECT_FALSE(status.has_image());
    ASSERT_OK_AND_ASSIGN(const std::string id, small_disk.Pull(node().probe_image()));
    EXPECT_EQ(id, node().probe_id());
    const auto pod = small_disk.RunPod(MakePodConfig(Name()));
    EXPECT_OK(pod);
    if (pod.ok()) {
      EXPECT_OK(small_disk.RemovePod(*pod));
    }
  }
  EXPECT_OK(daemon.Terminate());
  EXPECT_EQ(umount2(options.dir.c_str(), MNT_DETACH), 0);
  RemoveTraces(daemon);
}

}  // namespace
}  // namespace berth::e2e
