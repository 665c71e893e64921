#include "src/store/attachments.h"

#include <filesystem>

#include "gtest/gtest.h"
#include "src/store/testing/database_fixture.h"

namespace berth {
namespace {

class AttachmentsTest : public DatabaseFixture {};

TEST_F(AttachmentsTest, RowsSurviveTheDaemon) {
  AttachmentRow row{.pod_id = "a", .network = "pods", .record = "{}"};
  ASSERT_TRUE(InsertAttachment(*database_, row).ok());
  ASSERT_TRUE(SyncAttachment(*database_, "a").ok());
  row.state = AttachmentState::kRemoving;
  row.record = R"({"result":{}})";
  ASSERT_TRUE(UpdateAttachment(*database_, row).ok());
  Reopen();
  const auto rows = LoadAttachments(*database_);
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_EQ(rows->at(0).pod_id, "a");
  EXPECT_EQ(rows->at(0).network, "pods");
  EXPECT_EQ(rows->at(0).state, AttachmentState::kRemoving);
  EXPECT_EQ(rows->at(0).record, R"({"result":{}})");
}

// SQLite does not sync for a transaction that leaves every page as it is.
TEST_F(AttachmentsTest, SyncingWritesSomethingToSync) {
  ASSERT_TRUE(InsertAttachment(*database_, {.pod_id = "a", .network = "n", .record = "{}"}).ok());
  const auto written = [&] { return std::filesystem::file_size(directory_ + "/berth.db-wal"); };
  const auto before = written();
  ASSERT_TRUE(SyncAttachment(*database_, "a").ok());
  EXPECT_GT(written(), before);
}

TEST_F(AttachmentsTest, APodHasOneAtMost) {
  const AttachmentRow row{.pod_id = "a", .network = "pods", .record = "{}"};
  ASSERT_TRUE(InsertAttachment(*database_, row).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(InsertAttachment(*database_, row)));
}

TEST_F(AttachmentsTest, DeletingIsRepeatable) {
  ASSERT_TRUE(InsertAttachment(*database_, {.pod_id = "a", .network = "n", .record = "{}"}).ok());
  EXPECT_TRUE(DeleteAttachment(*database_, "a").ok());
  EXPECT_TRUE(DeleteAttachment(*database_, "a").ok());
  EXPECT_TRUE(LoadAttachments(*database_)->empty());
}

TEST_F(AttachmentsTest, OneIsFoundByItsPod) {
  ASSERT_TRUE(InsertAttachment(*database_, {.pod_id = "a", .network = "n", .record = "{}"}).ok());
  EXPECT_FALSE(FindAttachment(*database_, "b")->has_value());
  const std::optional<AttachmentRow> found = *FindAttachment(*database_, "a");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->network, "n");
}

TEST_F(AttachmentsTest, AnUnknownStateIsDamage) {
  ASSERT_TRUE(InsertAttachment(*database_, {.pod_id = "a", .network = "n", .record = "{}"}).ok());
  ASSERT_TRUE(database_
                  ->Write(Durability::kCrash,
                          [](Database::Transaction& transaction) {
                            return transaction.Run("UPDATE attachments SET state = 7");
                          })
                  .ok());
  EXPECT_TRUE(absl::IsDataLoss(LoadAttachments(*database_).status()));
}

}  // namespace
}  // namespace berth
