#include "src/kernel/lsm.h"

#include <gtest/gtest.h>

#include "src/kernel/testing/lsm_tree.h"

namespace berth {
namespace {

using ReadLsmFactsTest = LsmTree;

TEST_F(ReadLsmFactsTest, FindsNothingOnAKernelWithoutModules) {
  const absl::StatusOr<LsmFacts> facts = ReadLsmFacts(paths_);
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_FALSE(facts->apparmor || facts->selinux || facts->selinux_enforcing);
}

TEST_F(ReadLsmFactsTest, FindsAppArmorOnlyIfItIsEnabled) {
  Write("module/apparmor/parameters/enabled", "N\n");
  EXPECT_FALSE(ReadLsmFacts(paths_)->apparmor);
  Write("module/apparmor/parameters/enabled", "Y\n");
  EXPECT_TRUE(ReadLsmFacts(paths_)->apparmor);
}

TEST_F(ReadLsmFactsTest, FindsSelinuxAndItsMode) {
  Write("selinux/enforce", "0");
  Write("selinux/initial_contexts/kernel", "kernel");
  EXPECT_FALSE(ReadLsmFacts(paths_)->selinux) << "no policy is loaded";
  Write("selinux/initial_contexts/kernel", "system_u:system_r:kernel_t:s0");
  EXPECT_TRUE(ReadLsmFacts(paths_)->selinux);
  EXPECT_FALSE(ReadLsmFacts(paths_)->selinux_enforcing);
  Write("selinux/enforce", "1");
  EXPECT_TRUE(ReadLsmFacts(paths_)->selinux_enforcing);
}

TEST(ReadLsmFacts, ReadsThisKernel) { EXPECT_TRUE(ReadLsmFacts().ok()); }

}  // namespace
}  // namespace berth
