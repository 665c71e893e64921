// Holds api/cri/coverage.tsv against the descriptor: each field a client can send has exactly one
// row that says what Berth does with it, in the order of the proto.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "cri/runtime/v1/api.pb.h"
#include "test/api/field_rows.h"

namespace berth {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;
using ::testing::AnyOf;
using ::testing::ElementsAreArray;

struct CoverageRow {
  std::string field;   // Message.field
  std::string status;  // honoured, refused, ignored
  std::string note;    // where or in which form it is honoured; why it is not
};

std::vector<CoverageRow> ReadCoverage() {
  auto table = ReadTable(BERTH_SOURCE_DIR "/api/cri/coverage.tsv", 4);
  EXPECT_TRUE(table.ok()) << table.status();
  if (!table.ok()) return {};
  std::vector<CoverageRow> rows;
  for (const auto& cells : *table) {
    rows.push_back(
        {.field = absl::StrCat(cells[0], ".", cells[1]), .status = cells[2], .note = cells[3]});
  }
  return rows;
}

void AddReachable(const Descriptor& message, std::set<const Descriptor*>& reached) {
  if (!reached.insert(&message).second) return;
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    if (field.message_type() != nullptr && !field.is_map()) {
      AddReachable(*field.message_type(), reached);
    }
  }
}

std::set<const Descriptor*> MessagesOfRequests(const google::protobuf::FileDescriptor& file) {
  std::set<const Descriptor*> reached;
  for (int i = 0; i < file.service_count(); ++i) {
    for (int j = 0; j < file.service(i)->method_count(); ++j) {
      AddReachable(*file.service(i)->method(j)->input_type(), reached);
    }
  }
  return reached;
}

// "Message.field" of every field a client can send, in the order of the proto.
std::vector<std::string> RequestFields() {
  const auto& file = *runtime::v1::VersionRequest::descriptor()->file();
  const std::set<const Descriptor*> reached = MessagesOfRequests(file);
  std::vector<std::string> fields;
  for (int i = 0; i < file.message_type_count(); ++i) {
    const Descriptor& message = *file.message_type(i);
    if (reached.count(&message) == 0) continue;
    for (int j = 0; j < message.field_count(); ++j) {
      fields.push_back(absl::StrCat(message.name(), ".", message.field(j)->name()));
    }
  }
  return fields;
}

TEST(Coverage, HasOneRowForEachRequestFieldInTheOrderOfTheProto) {
  std::vector<std::string> rows;
  for (const CoverageRow& row : ReadCoverage()) rows.push_back(row.field);
  ASSERT_FALSE(RequestFields().empty());
  EXPECT_THAT(rows, ElementsAreArray(RequestFields()));
}

TEST(Coverage, KnowsThreeStatuses) {
  for (const CoverageRow& row : ReadCoverage()) {
    EXPECT_THAT(row.status, AnyOf("honoured", "refused", "ignored")) << row.field;
  }
}

TEST(Coverage, GivesAReasonForEachFieldThatIsNotHonoured) {
  for (const CoverageRow& row : ReadCoverage()) {
    EXPECT_TRUE(row.status == "honoured" || !row.note.empty()) << row.field;
  }
}

}  // namespace
}  // namespace berth
