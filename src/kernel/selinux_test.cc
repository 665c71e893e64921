#include "src/kernel/selinux.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>
#include <string>

#include "src/kernel/testing/lsm_tree.h"

namespace berth {
namespace {

using testing::HasSubstr;

constexpr LsmFacts kEnabled = {.selinux = true, .selinux_enforcing = true};

SelinuxDefaults Defaults() {
  return {.process = {"system_u", "system_r", "container_t", "s0"},
          .file = {"system_u", "object_r", "container_file_t", "s0"}};
}

TEST(CheckSelinuxLevel, TakesRangesOfLevels) {
  for (const char* level : {"s0", "s15", "s0:c1", "s0:c1,c2", "s0:c0.c1023", "s0:c1.c5,c9,c11.c12",
                            "s0-s15", "s0-s0:c0.c1023", "s0:c1-s3:c1,c2"}) {
    EXPECT_TRUE(CheckSelinuxLevel(level).ok()) << level;
  }
}

TEST(CheckSelinuxLevel, RefusesEverythingElse) {
  for (const char* level :
       {"",       "0",      "s",        "c1,c2",     "s0:",      "s0:c",
        "s0:c1,", "s0:,c1", "s0:c1024", "s0:c1.c1",  "s0:c5.c1", "s0:c1.c2.c3",
        "s0-",    "-s0",    "s0-s1-s2", "s0:c1 ",    " s0",      "s0:c+1",
        "s0:C1",  "S0",     "s0:c1\n",  "s0:c00001", "s0:c1:c2", "s99999999999"}) {
    EXPECT_EQ(CheckSelinuxLevel(level).code(), absl::StatusCode::kInvalidArgument) << level;
  }
}

TEST(ParseSelinuxContext, TakesContextsWithAndWithoutLevel) {
  for (const char* text :
       {"u:r:t", "system_u:system_r:container_t:s0:c1,c2", "user.u:role-r:t1:s0-s0:c0.c1023"}) {
    const absl::StatusOr<SelinuxContext> context = ParseSelinuxContext(text);
    ASSERT_TRUE(context.ok()) << context.status();
    EXPECT_EQ(context->ToString(), text);
  }
  for (const char* text : {"", "u:r", "u::t", "u:r:t:", "u:r:t:level", "u r:r:t", "u:r:t/../x"})
    EXPECT_FALSE(ParseSelinuxContext(text).ok()) << text;
}

TEST(MergeSelinux, FillsEmptyPartsFromThePolicyAndThePod) {
  const absl::StatusOr<SelinuxLabels> labels = MergeSelinux(Defaults(), {}, "s0:c1,c2", false);
  ASSERT_TRUE(labels.ok());
  EXPECT_EQ(labels->process, "system_u:system_r:container_t:s0:c1,c2");
  EXPECT_EQ(labels->mount, "system_u:object_r:container_file_t:s0:c1,c2");
}

TEST(MergeSelinux, PrefersTheRequest) {
  const absl::StatusOr<SelinuxLabels> labels =
      MergeSelinux(Defaults(), {.user = "u", .role = "r", .type = "my_t", .level = "s0:c7,c8"},
                   "s0:c1,c2", false);
  ASSERT_TRUE(labels.ok());
  EXPECT_EQ(labels->process, "u:r:my_t:s0:c7,c8");
  EXPECT_EQ(labels->mount, "system_u:object_r:container_file_t:s0:c7,c8");
}

TEST(MergeSelinux, GivesPrivilegedContainersSpcUnlessATypeIsAsked) {
  EXPECT_EQ(MergeSelinux(Defaults(), {}, "", true)->process, "system_u:system_r:spc_t:s0");
  EXPECT_EQ(MergeSelinux(Defaults(), {.type = "my_t"}, "", true)->process,
            "system_u:system_r:my_t:s0");
}

TEST(MergeSelinux, RefusesMalformedParts) {
  const SelinuxRequest kCases[] = {
      {.user = "a:b"}, {.role = "a b"}, {.type = "t\n"}, {.type = "../t"}, {.level = "s0:c1,c"}};
  for (const SelinuxRequest& request : kCases)
    EXPECT_EQ(MergeSelinux(Defaults(), request, "s0:c1,c2", false).status().code(),
              absl::StatusCode::kInvalidArgument);
}

class Selinux : public LsmTree {
 protected:
  Selinux() {
    Write("etc-selinux/config", "# SELINUXTYPE=mls\nSELINUX=enforcing\nSELINUXTYPE=targeted\n");
    Write("etc-selinux/targeted/contexts/lxc_contexts",
          "process = \"system_u:system_r:container_t:s0\"\n"
          "content = \"system_u:object_r:virt_var_lib_t:s0\"\n"
          "file = \"system_u:object_r:container_file_t:s0\"\n"
          "ro_file=\"system_u:object_r:container_ro_file_t:s0\"\n");
    Write("selinux/context", "");
  }
};

TEST_F(Selinux, ReadsTheDefaultsOfTheInstalledPolicy) {
  const absl::StatusOr<SelinuxDefaults> defaults = ReadSelinuxDefaults(paths_);
  ASSERT_TRUE(defaults.ok()) << defaults.status();
  EXPECT_EQ(defaults->process.ToString(), "system_u:system_r:container_t:s0");
  EXPECT_EQ(defaults->file.ToString(), "system_u:object_r:container_file_t:s0");
}

TEST_F(Selinux, RefusesAPolicyWithoutContainerContexts) {
  Write("etc-selinux/targeted/contexts/lxc_contexts", "file = \"u:r:t:s0\"\n");
  EXPECT_FALSE(ReadSelinuxDefaults(paths_).ok());
  Write("etc-selinux/config", "SELINUXTYPE=../../tmp\n");
  EXPECT_EQ(ReadSelinuxDefaults(paths_).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(Selinux, AsksTheKernelForTheContext) {
  const absl::StatusOr<SelinuxLabels> labels =
      ResolveSelinux({.type = "my_t"}, "s0:c1,c2", false, kEnabled, paths_);
  ASSERT_TRUE(labels.ok()) << labels.status();
  EXPECT_EQ(Read("selinux/context"), "system_u:system_r:my_t:s0:c1,c2");
  ASSERT_EQ(unlink((root_ + "/selinux/context").c_str()), 0);
  ASSERT_EQ(mkdir((root_ + "/selinux/context").c_str(), 0700), 0);
  const absl::Status refused =
      ResolveSelinux({.type = "my_t"}, "s0:c1,c2", false, kEnabled, paths_).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("my_t:s0:c1,c2: refused by the policy"));
}

TEST_F(Selinux, RefusesWhatIsAskedOfAKernelWithoutIt) {
  const absl::StatusOr<SelinuxLabels> nothing = ResolveSelinux({}, "s0:c1,c2", true, {}, paths_);
  ASSERT_TRUE(nothing.ok());
  EXPECT_EQ(nothing->process + nothing->mount, "");
  for (const SelinuxRequest& request :
       {SelinuxRequest{.user = "u"}, SelinuxRequest{.role = "r"}, SelinuxRequest{.type = "t"},
        SelinuxRequest{.level = "s0"}}) {
    const absl::Status refused = ResolveSelinux(request, "", false, {}, paths_).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(refused.message()), HasSubstr("SELinux is not enabled"));
  }
}

TEST(SelinuxCategories, GiveEachPodAPairOfItsOwn) {
  SelinuxCategories categories;
  std::set<std::string> given;
  for (int i = 0; i < 5000; ++i) {
    const absl::StatusOr<std::string> level = categories.Allocate();
    ASSERT_TRUE(level.ok());
    EXPECT_TRUE(CheckSelinuxLevel(*level).ok()) << *level;
    EXPECT_TRUE(given.insert(*level).second) << *level;
  }
  EXPECT_EQ(*given.begin(), "s0:c0,c1");
}

TEST(SelinuxCategories, KeepReservedPairsAndGiveFreedOnesAgainLate) {
  SelinuxCategories categories;
  ASSERT_TRUE(categories.Reserve("s0:c0,c1").ok());
  EXPECT_EQ(categories.Reserve("s0:c1,c0").code(), absl::StatusCode::kAlreadyExists);
  const std::string first = *categories.Allocate();
  EXPECT_EQ(first, "s0:c0,c2");
  categories.Release(first);
  EXPECT_NE(*categories.Allocate(), first);
  EXPECT_TRUE(categories.Reserve(first).ok()) << "it was free";
}

TEST(SelinuxCategories, LeaveLevelsOfOtherFormsAlone) {
  SelinuxCategories categories;
  for (const char* level : {"", "s0", "s1:c1,c2", "s0:c1", "s0:c1,c2,c3", "s0:c1.c2", "s0:c4,c4"}) {
    EXPECT_TRUE(categories.Reserve(level).ok()) << level;
    EXPECT_TRUE(categories.Reserve(level).ok()) << level;
    categories.Release(level);
  }
}

TEST(SelinuxCategories, AreExhaustedAndUsableAgain) {
  SelinuxCategories categories;
  std::string last;
  for (int i = 0; i < 1024 * 1023 / 2; ++i) last = *categories.Allocate();
  EXPECT_EQ(last, "s0:c1022,c1023");
  EXPECT_EQ(categories.Allocate().status().code(), absl::StatusCode::kResourceExhausted);
  categories.Release("s0:c17,c900");
  EXPECT_EQ(*categories.Allocate(), "s0:c17,c900");
}

TEST(RelabelTree, RefusesDirectoriesOfTheSystemByNameAndByIdentity) {
  const absl::StatusOr<UniqueFd> etc = OpenFile(AT_FDCWD, "/etc", O_PATH);
  const absl::StatusOr<UniqueFd> null = OpenFile(AT_FDCWD, "/dev/null", O_PATH);
  ASSERT_TRUE(etc.ok() && null.ok());
  const std::string label = "system_u:object_r:container_file_t:s0:c1,c2";
  EXPECT_THAT(std::string(RelabelTree(etc->get(), "/volumes/x", label).message()),
              HasSubstr("relabel /volumes/x: is /etc"));
  for (const char* path : {"/", "/usr", "/etc/", "/home", "/home///", "/var/lib"}) {
    EXPECT_EQ(RelabelTree(null->get(), path, label).code(), absl::StatusCode::kInvalidArgument)
        << path;
  }
}

}  // namespace
}  // namespace berth
