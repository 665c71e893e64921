#include "src/image/unclean_stop.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>

#include "src/kernel/file.h"

namespace berth {
namespace {

class UncleanStopTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/berth-unclean-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    auto database = Database::Open(directory_ + "/db");
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);
  }
  void TearDown() override {
    database_.reset();
    EXPECT_TRUE(RemoveTreeAt(AT_FDCWD, directory_).ok());
  }
  UncleanStop Begin(const std::string& boot_id) { return *UncleanStop::Begin(*database_, boot_id); }

  std::string directory_;
  std::unique_ptr<Database> database_;
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
