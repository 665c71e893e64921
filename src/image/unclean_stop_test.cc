#include "src/image/unclean_stop.h"

#include <gtest/gtest.h>

#include "src/store/testing/database_fixture.h"

namespace berth {
namespace {

class UncleanStopTest : public DatabaseFixture {
 protected:
  UncleanStop Begin(const std::string& boot_id) { return *UncleanStop::Begin(*database_, boot_id); }
};

TEST_F(UncleanStopTest, NothingIsDueAtFirstNorAfterACleanEnd) {
  const UncleanStop first = Begin("a");
  EXPECT_FALSE(first.verification_due());
  ASSERT_TRUE(first.End(*database_).ok());
  EXPECT_FALSE(Begin("b").verification_due());
}

TEST_F(UncleanStopTest, TheEndOfTheProcessAloneIsNoReason) {
  Begin("a");
  EXPECT_FALSE(Begin("a").verification_due());
}

TEST_F(UncleanStopTest, ItStaysDueUntilItIsDone) {
  Begin("a");
  UncleanStop second = Begin("b");
  EXPECT_TRUE(second.verification_due());
  ASSERT_TRUE(second.End(*database_).ok());
  EXPECT_TRUE(Begin("b").verification_due()) << "ended before it was done";
  UncleanStop fourth = Begin("b");
  EXPECT_TRUE(fourth.verification_due()) << "killed before it was done";
  ASSERT_TRUE(fourth.Verified(*database_).ok());
  EXPECT_FALSE(Begin("b").verification_due());
  EXPECT_TRUE(Begin("c").verification_due());
}

TEST_F(UncleanStopTest, VerificationIsDueWhereItWasSaidToBe) {
  ASSERT_TRUE(UncleanStop::MarkUnverified(*database_).ok());
  EXPECT_TRUE(Begin("a").verification_due());
}

}  // namespace
}  // namespace berth
