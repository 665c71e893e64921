#include "src/image/pull/layer_path.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/image/pull/layer_xattr.h"

namespace berth {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(SplitLayerPath, DropsWhatMeansNothing) {
  EXPECT_THAT(*SplitLayerPath("a/b", {}), ElementsAre("a", "b"));
  EXPECT_THAT(*SplitLayerPath("/./a//b/./", {}), ElementsAre("a", "b"));
  EXPECT_THAT(*SplitLayerPath("", {}), IsEmpty());
  EXPECT_THAT(*SplitLayerPath("./", {}), IsEmpty());
  EXPECT_THAT(*SplitLayerPath("...", {}), ElementsAre("..."));
}

TEST(SplitLayerPath, RefusesTheWayUpEverywhere) {
  for (const char* path : {"..", "../a", "a/..", "a/../b", "/..", "a/b/../../.."}) {
    EXPECT_FALSE(SplitLayerPath(path, {}).ok()) << path;
  }
}

TEST(SplitLayerPath, Limits) {
  EXPECT_FALSE(SplitLayerPath("a/b/c", {.depth = 1}).ok());
  EXPECT_TRUE(SplitLayerPath("a/b", {.depth = 1}).ok());
  EXPECT_FALSE(SplitLayerPath("abc", {.name_bytes = 2}).ok());
  EXPECT_FALSE(SplitLayerPath("abc", {.path_bytes = 2}).ok());
}

TEST(JoinLayerPath, TakesTheFirstComponents) {
  EXPECT_EQ(JoinLayerPath({"a", "b", "c"}, 2), "a/b");
  EXPECT_EQ(JoinLayerPath({"a"}, 0), "");
}

TEST(IsKeptXattr, Table) {
  for (const char* name : {"security.capability", "user.a", "user.overlayed"})
    EXPECT_TRUE(IsKeptXattr(name)) << name;
  for (const char* name :
       {"security.selinux", "security.ima", "security.evm", "trusted.overlay.opaque", "trusted.x",
        "user.overlay.redirect", "system.posix_acl_access", "", "user"}) {
    EXPECT_FALSE(IsKeptXattr(name)) << name;
  }
}

}  // namespace
}  // namespace berth
