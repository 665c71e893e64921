#include "hack/benchmarks/process_table.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "hack/benchmarks/cgroup_tree.h"

namespace berth::bench {
namespace {

TEST(KilobytesOf, FindsTheLineWithExactlyTheKey) {
  const char text[] = "Rss:   900 kB\nPss_Anon:  7 kB\nPss:        42 kB\n";
  EXPECT_EQ(KilobytesOf(text, "Pss"), 42);
}

TEST(KilobytesOf, IsZeroWithoutTheKey) { EXPECT_EQ(KilobytesOf("Rss: 900 kB\n", "Pss"), 0); }

TEST(NamesCgroup, MatchesTheCgroupAndWhatIsBelow) {
  EXPECT_TRUE(NamesCgroup("9:name=systemd:/\n4:memory:/a/b\n", "/a/b"));
  EXPECT_TRUE(NamesCgroup("0::/a/b/c\n", "/a/b"));
}

TEST(NamesCgroup, DoesNotMatchASiblingWithTheSameStart) {
  EXPECT_FALSE(NamesCgroup("4:memory:/a/bc\n", "/a/b"));
  EXPECT_FALSE(NamesCgroup("4:memory:/x/a/b\n", "/a/b"));
}

TEST(ProcessTable, KnowsThisProcess) {
  EXPECT_EQ(ParentOf(::getpid()), ::getppid());
  EXPECT_GT(RssKib(::getpid()), 0);
  EXPECT_FALSE(CommandOf(::getpid()).empty());
}

TEST(WithMonitors, LeavesOutTheAncestorsOfThisProgram) {
  EXPECT_TRUE(WithMonitors({::getppid()}, /*daemon=*/0).empty());
}

TEST(CgroupMounts, NamesBothVersions) {
  const char mounts[] =
      "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ntmpfs /run tmpfs rw 0 0\n"
      "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
  const std::vector<std::string> expected = {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified"};
  EXPECT_EQ(CgroupMounts(mounts), expected);
}

}  // namespace
}  // namespace berth::bench
