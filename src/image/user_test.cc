#include "src/image/user.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace berth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kPasswd[] =
    "root:x:0:0:root:/root:/bin/sh\n"
    "web:x:1000:2000:Web:/srv/web:/bin/sh\n"
    "shadowed:x:4294967296:0::/:\n"
    "nohome:x:1001:1001:::\n"
    "rogue:x:1002:1002::/x\x01y:\n"
    "5000:x:0:0::/root:\n"
    "short:x:7\n";
constexpr char kGroup[] =
    "root:x:0:\n"
    "web:x:2000:\n"
    "logs:x:2001:web,other\n"
    "disk:x:6:other,web\n"
    "bad:x:4294967297:web\n"
    "webby:x:2002:webster\n";

absl::StatusOr<ResolvedUser> Resolve(const UserRequest& request) {
  return ResolveUser(request, kPasswd, kGroup);
}

TEST(ResolveUser, EmptyIsRootWithItsHome) {
  const auto user = Resolve({});
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_EQ(user->uid, 0u);
  EXPECT_EQ(user->gid, 0u);
  EXPECT_EQ(user->home, "/root");
  EXPECT_THAT(user->groups, ElementsAre(0));
}

TEST(ResolveUser, EmptyIsRootWithoutAnyFile) {
  const auto user = ResolveUser({}, "", "");
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_EQ(user->uid, 0u);
  EXPECT_EQ(user->home, "/");
}

TEST(ResolveUser, NameTakesIdsHomeAndMembershipsFromTheFiles) {
  const auto user = Resolve({.image_user = "web"});
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_EQ(user->uid, 1000u);
  EXPECT_EQ(user->gid, 2000u);
  EXPECT_EQ(user->home, "/srv/web");
  EXPECT_THAT(user->groups, ElementsAre(6, 2000, 2001));
}

TEST(ResolveUser, NumericUidFindsItsRow) {
  const auto user = Resolve({.image_user = "1000"});
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_EQ(user->gid, 2000u);
  EXPECT_THAT(user->groups, ElementsAre(6, 2000, 2001));
}

TEST(ResolveUser, UnknownUidHasGroupRoot) {
  const auto user = Resolve({.image_user = "4242"});
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_EQ(user->uid, 4242u);
  EXPECT_EQ(user->gid, 0u);
  EXPECT_EQ(user->home, "/");
}

TEST(ResolveUser, GroupPartOfTheImage) {
  EXPECT_EQ(Resolve({.image_user = "web:logs"})->gid, 2001u);
  EXPECT_EQ(Resolve({.image_user = "1000:77"})->gid, 77u);
  EXPECT_EQ(Resolve({.image_user = "1000:"})->gid, 2000u);
}

TEST(ResolveUser, RunAsUserReplacesTheImageUserAndItsGroup) {
  const auto user = Resolve({.image_user = "web:logs", .run_as_user = 9});
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_EQ(user->uid, 9u);
  EXPECT_EQ(user->gid, 0u);
}

TEST(ResolveUser, RunAsUserZeroIsHonoured) {
  EXPECT_EQ(Resolve({.image_user = "web", .run_as_user = 0})->uid, 0u);
}

TEST(ResolveUser, RunAsUserWinsOverTheName) {
  EXPECT_EQ(Resolve({.run_as_user = 9, .run_as_username = "web"})->uid, 9u);
}

TEST(ResolveUser, RunAsGroupReplacesThePrimaryGroup) {
  const auto user = Resolve({.run_as_user = 1000, .run_as_group = 3});
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_EQ(user->gid, 3u);
  EXPECT_THAT(user->groups, ElementsAre(3, 6, 2001));
}

TEST(ResolveUser, StrictPolicyIgnoresTheGroupFile) {
  const auto user =
      Resolve({.image_user = "web", .supplemental_groups = {50, 40, 50}, .strict_groups = true});
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_THAT(user->groups, ElementsAre(40, 50, 2000));
}

TEST(ResolveUser, MergePolicyAddsToTheGroupFile) {
  EXPECT_THAT(Resolve({.image_user = "web", .supplemental_groups = {50}})->groups,
              ElementsAre(6, 50, 2000, 2001));
}

TEST(ResolveUser, HomeThatIsEmptyOrHasControlCharactersIsRootDirectory) {
  EXPECT_EQ(Resolve({.image_user = "nohome"})->home, "/");
  EXPECT_EQ(Resolve({.image_user = "rogue"})->home, "/");
}

struct BadUser {
  std::string name;
  UserRequest request;
  absl::StatusCode code;
};
void PrintTo(const BadUser& c, std::ostream* out) { *out << c.name; }
class ResolveUserBad : public testing::TestWithParam<BadUser> {};
TEST_P(ResolveUserBad, IsRefused) {
  EXPECT_EQ(Resolve(GetParam().request).status().code(), GetParam().code)
      << Resolve(GetParam().request).status();
}
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kNotFound = absl::StatusCode::kNotFound;
INSTANTIATE_TEST_SUITE_P(
    All, ResolveUserBad,
    testing::Values(
        BadUser{"UnknownName", {.image_user = "nobody"}, kNotFound},
        BadUser{"UnknownGroup", {.image_user = "web:nogroup"}, kNotFound},
        BadUser{"GroupOnly", {.image_user = ":web"}, kInvalid},
        BadUser{"RunAsGroupOnly", {.run_as_group = 5}, kInvalid},
        BadUser{"MinusOneAsId", {.image_user = "4294967295"}, kInvalid},
        BadUser{"WrapsToRoot", {.image_user = "4294967296"}, kInvalid},
        BadUser{"Beyond64Bits", {.image_user = "18446744073709551616"}, kInvalid},
        BadUser{"NegativeIsAName", {.image_user = "-1"}, kNotFound},
        BadUser{"PlusIsAName", {.image_user = "+1000"}, kNotFound},
        BadUser{"HexIsAName", {.image_user = "0x0"}, kNotFound},
        BadUser{"RowWrapsToRoot", {.image_user = "shadowed"}, kInvalid},
        BadUser{"RowTooShort", {.image_user = "short"}, kNotFound},
        BadUser{"RunAsUserNegative", {.run_as_user = -1}, kInvalid},
        BadUser{"RunAsUserTooBig", {.run_as_user = 1LL << 32}, kInvalid},
        BadUser{"RunAsGroupTooBig", {.run_as_user = 1, .run_as_group = (1LL << 32) - 1}, kInvalid},
        BadUser{"SupplementalNegative", {.supplemental_groups = {-5}}, kInvalid},
        BadUser{"GroupRowWraps", {.image_user = "web:bad"}, kInvalid}),
    [](const auto& info) { return info.param.name; });

TEST(ResolveUser, DigitsAreNeverANameInTheFile) {
  // kPasswd has a row named "5000" with uid 0.
  EXPECT_EQ(Resolve({.image_user = "5000"})->uid, 5000u);
}

TEST(ResolveUser, ErrorNamesTheUser) {
  EXPECT_THAT(std::string(Resolve({.image_user = "nobody"}).status().message()),
              HasSubstr("\"nobody\""));
}

}  // namespace
}  // namespace berth
