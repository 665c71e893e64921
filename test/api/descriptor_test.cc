// Holds the compiled CRI descriptor against the field table, field by field, in both directions.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>

#include "cri/runtime/v1/api.grpc.pb.h"
#include "cri/runtime/v1/api.pb.h"
#include "test/api/field_rows.h"

namespace berth {
namespace {

using ::testing::IsEmpty;

const google::protobuf::FileDescriptor& CriFile() {
  return *runtime::v1::VersionRequest::descriptor()->file();
}

std::vector<std::string> SortedTable() {
  auto rows = RowsOfTable(BERTH_SOURCE_DIR "/test/api/testdata/cri-fields.tsv");
  EXPECT_TRUE(rows.ok()) << rows.status();
  if (!rows.ok()) return {};
  std::sort(rows->begin(), rows->end());
  return *std::move(rows);
}

std::vector<std::string> SortedDescriptor() {
  std::vector<std::string> rows = RowsOfDescriptor(CriFile());
  std::sort(rows.begin(), rows.end());
  return rows;
}

// Rows of `a` that `b` does not have; both sorted.
std::vector<std::string> Minus(const std::vector<std::string>& a,
                               const std::vector<std::string>& b) {
  std::vector<std::string> rest;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(rest));
  return rest;
}

TEST(CriDescriptor, HasEveryRowOfTheTable) {
  ASSERT_FALSE(SortedTable().empty());
  EXPECT_THAT(Minus(SortedTable(), SortedDescriptor()), IsEmpty());
}

TEST(CriDescriptor, HasNothingBesideTheTable) {
  ASSERT_FALSE(SortedDescriptor().empty());
  EXPECT_THAT(Minus(SortedDescriptor(), SortedTable()), IsEmpty());
}

TEST(CriDescriptor, UsesTheWireNamesOfTheKubelet) {
  EXPECT_EQ(CriFile().package(), "runtime.v1");
  EXPECT_STREQ(runtime::v1::RuntimeService::service_full_name(), "runtime.v1.RuntimeService");
  EXPECT_STREQ(runtime::v1::ImageService::service_full_name(), "runtime.v1.ImageService");
}

TEST(CriDescriptor, IsProto3AndStandsAlone) {
  EXPECT_EQ(CriFile().syntax(), google::protobuf::FileDescriptor::SYNTAX_PROTO3);
  EXPECT_EQ(CriFile().dependency_count(), 0);
}

}  // namespace
}  // namespace berth
