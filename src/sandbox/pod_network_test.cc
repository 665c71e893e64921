#include "src/sandbox/pod_network.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

bool InAdvance(const PodSpec& spec) { return MayBeMadeInAdvance({.namespaces = spec}); }

TEST(MayBeMadeInAdvance, PlainPodMayHaveANetworkThatIsReady) {
  EXPECT_TRUE(InAdvance({}));
  EXPECT_TRUE(
      InAdvance({.sysctls = {{"net.core.somaxconn", "9"}, {"kernel.shm_rmid_forced", "1"}}}));
}

TEST(MayBeMadeInAdvance, PodWithAUserNamespaceMayNot) {
  EXPECT_FALSE(InAdvance({.user = {.uids = {{.host_id = 70000, .length = 1000}},
                                   .gids = {{.host_id = 70000, .length = 1000}}}}));
}

TEST(MayBeMadeInAdvance, SettingsThatInterfacesAreMadeFromComeBeforeTheInterface) {
  for (const char* name : {"net.ipv4.conf.default.rp_filter", "net.ipv6.conf.all.disable_ipv6",
                           "net.ipv4.neigh.default.gc_thresh1"}) {
    EXPECT_FALSE(InAdvance({.sysctls = {{name, "1"}}})) << name;
  }
}

TEST(MayBeMadeInAdvance, SettingsOfThePodsInterfaceNeedTheInterface) {
  EXPECT_TRUE(InAdvance({.sysctls = {{"net.ipv4.conf.eth0.rp_filter", "1"}}}));
}

}  // namespace
}  // namespace berth
