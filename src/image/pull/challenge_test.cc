#include "src/image/pull/challenge.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace berth {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

TEST(ParseChallenges, Bearer) {
  const auto challenges = ParseChallenges(
      R"(Bearer realm="https://a.example/token",service="r",scope="repository:a/b:pull,push")");
  ASSERT_THAT(challenges, SizeIs(1));
  EXPECT_EQ(challenges[0].scheme, "bearer");
  EXPECT_EQ(challenges[0].params.at("realm"), "https://a.example/token");
  EXPECT_EQ(challenges[0].params.at("scope"), "repository:a/b:pull,push");
}

TEST(ParseChallenges, SeveralInOneHeader) {
  const auto challenges = ParseChallenges(R"(Negotiate, Basic realm="a, b" , Bearer realm=token)");
  ASSERT_THAT(challenges, SizeIs(3));
  EXPECT_EQ(challenges[0].scheme, "negotiate");
  EXPECT_EQ(challenges[1].params.at("realm"), "a, b");
  EXPECT_EQ(challenges[2].params.at("realm"), "token");
}

TEST(ParseChallenges, NamesAreCaseInsensitiveAndQuotesAreUndone) {
  const auto challenges = ParseChallenges(R"(BEARER Realm = "a\"b\\c")");
  ASSERT_THAT(challenges, SizeIs(1));
  EXPECT_EQ(challenges[0].params.at("realm"), R"(a"b\c)");
}

TEST(ParseChallenges, FirstOfTwoEqualParamsCounts) {
  EXPECT_EQ(ParseChallenges(R"(Bearer realm="one",realm="two")")[0].params.at("realm"), "one");
}

TEST(ParseChallenges, MalformedTextEndsTheList) {
  EXPECT_THAT(ParseChallenges(""), IsEmpty());
  EXPECT_THAT(ParseChallenges("\"\"\""), IsEmpty());
  EXPECT_THAT(ParseChallenges(R"(Bearer realm="never closed)"), SizeIs(testing::Le(2)));
  EXPECT_THAT(ParseChallenges(std::string(100000, ',')), IsEmpty());
  EXPECT_THAT(ParseChallenges(R"(Bearer realm="x\)"), SizeIs(testing::Le(2)));
}

}  // namespace
}  // namespace berth
