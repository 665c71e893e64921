#include "src/store/addresses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "src/store/testing/database_fixture.h"

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class AddressRowsTest : public DatabaseFixture {
 protected:
  // "address pod" or "address pod released", in the table's order.
  std::vector<std::string> Rows() {
    std::vector<std::string> lines;
    const auto rows = LoadAddressRows(*database_).value();
    for (const AddressRow& row : rows) {
      lines.push_back(row.address + " " + row.pod_id + (row.released ? " released" : ""));
    }
    return lines;
  }
};

TEST_F(AddressRowsTest, OutliveTheConnection) {
  ASSERT_TRUE(InsertAddressRows(*database_, "a", {"10.0.0.2", "fd00::2"}).ok());
  Reopen();
  EXPECT_THAT(Rows(), ElementsAre("10.0.0.2 a", "fd00::2 a"));
}

TEST_F(AddressRowsTest, AreAddedTogetherOrNotAtAll) {
  ASSERT_TRUE(InsertAddressRows(*database_, "a", {"10.0.0.2"}).ok());
  EXPECT_EQ(InsertAddressRows(*database_, "b", {"10.0.0.3", "10.0.0.2"}).code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(Rows(), ElementsAre("10.0.0.2 a"));
}

TEST_F(AddressRowsTest, AreReleasedThenDeleted) {
  ASSERT_TRUE(InsertAddressRows(*database_, "a", {"10.0.0.2"}).ok());
  ASSERT_TRUE(InsertAddressRows(*database_, "b", {"10.0.0.3"}).ok());
  ASSERT_TRUE(ReleaseAddressRows(*database_, {"10.0.0.2", "10.0.0.9"}).ok());
  EXPECT_THAT(Rows(), ElementsAre("10.0.0.2 a released", "10.0.0.3 b"));
  ASSERT_TRUE(DeleteAddressRows(*database_, {"10.0.0.2", "10.0.0.9"}).ok());
  EXPECT_THAT(Rows(), ElementsAre("10.0.0.3 b"));
  ASSERT_TRUE(DeleteAddressRows(*database_, {"10.0.0.3"}).ok());
  EXPECT_THAT(Rows(), IsEmpty());
}

}  // namespace
}  // namespace berth
