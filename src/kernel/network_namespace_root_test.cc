#include "src/kernel/network_namespace.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <string>
#include <thread>
#include <vector>

#include "src/kernel/file.h"
#include "src/kernel/netlink.h"
#include "src/kernel/rtnetlink.h"
#include "src/kernel/testing/network_namespace.h"

namespace berth {
namespace {

using ::testing::HasSubstr;

ino_t NamespaceOf(int fd) {
  struct stat info = {};
  EXPECT_EQ(fstat(fd, &info), 0);
  return info.st_ino;
}

size_t OpenDescriptors() { return ListDir(AT_FDCWD, "/proc/self/fd").value().size(); }

std::string ReadInside(int netns, const std::string& path) {
  std::string content;
  std::thread([&] {
    if (setns(netns, CLONE_NEWNET) == 0)
      content = ReadFileAt(AT_FDCWD, path).value_or("unreadable");
  }).join();
  return content;
}

TEST(NetworkNamespaceRootTest, IsNewAndHasALoopbackThatIsDown) {
  const ino_t own = NamespaceOf(OpenOwnNetns().get());
  absl::StatusOr<MadeNamespace> made = MakeNetworkNamespace({});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_NE(NamespaceOf(made->netns.get()), own);
  EXPECT_EQ(NamespaceOf(OpenOwnNetns().get()), own);
  EXPECT_EQ(NamespaceOf(UniqueFd(ioctl(made->netlink.get(), SIOCGSKNS)).get()),
            NamespaceOf(made->netns.get()));
  std::thread([&] {
    ASSERT_EQ(setns(made->netns.get(), CLONE_NEWNET), 0);
    NetlinkSocket route = NetlinkSocket::Open(NETLINK_ROUTE).value();
    const std::vector<Link> links = ListLinks(route).value();
    ASSERT_EQ(links.size(), 1u);
    EXPECT_EQ(links[0].name, "lo");
    EXPECT_EQ(links[0].flags & IFF_UP, 0u);
  }).join();
}

TEST(NetworkNamespaceRootTest, BeginsWithTheSettings) {
  const std::string port = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
  const std::string own = ReadFileAt(AT_FDCWD, port).value();
  const NetworkSetting settings[] = {{"net.ipv4.ip_unprivileged_port_start", "7"},
                                     {"net.ipv4.conf.default.no_such", "1"},
                                     {"net.ipv4.ping_group_range", "3 5"}};
  const absl::StatusOr<MadeNamespace> made = MakeNetworkNamespace(settings);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(ReadInside(made->netns.get(), port), "7\n");
  EXPECT_EQ(ReadInside(made->netns.get(), "/proc/sys/net/ipv4/ping_group_range"), "3\t5\n");
  EXPECT_EQ(ReadFileAt(AT_FDCWD, port).value(), own);
}

TEST(NetworkNamespaceRootTest, LeavesNothingOpenWhetherItIsMadeOrNot) {
  const size_t before = OpenDescriptors();
  const NetworkSetting bad[] = {{"net.ipv4.ip_unprivileged_port_start", "no number"}};
  const absl::StatusOr<MadeNamespace> failed = MakeNetworkNamespace(bad);
  EXPECT_THAT(std::string(failed.status().message()),
              HasSubstr("sys/net/ipv4/ip_unprivileged_port_start: Invalid argument"));
  EXPECT_EQ(OpenDescriptors(), before);
  ASSERT_TRUE(MakeNetworkNamespace({}).ok());
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST(NetworkNamespaceRootTest, ManyThreadsMakeTheirOwn) {
  std::vector<std::thread> threads;
  std::vector<ino_t> namespaces(16);
  for (ino_t& inode : namespaces) {
    threads.emplace_back([&inode] {
      const absl::StatusOr<MadeNamespace> made = MakeNetworkNamespace(kPodNetworkSettings);
      if (made.ok()) inode = NamespaceOf(made->netns.get());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(namespaces, ::testing::Each(::testing::Ne(0u)));
}

}  // namespace
}  // namespace berth
