#include "src/sandbox/record_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace berth {
namespace {

using ::testing::ElementsAre;

class RecordFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/record-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  void Overwrite(const std::string& text) const {
    std::ofstream(directory_ + "/record.json") << text;
  }
  static PodRecordFile MakePodFile() {
    return {.row = {.id = "a1",
                    .name = "web/default/u/0",
                    .created_at = 1767323045123456789,
                    .config = std::string("\0\xff\n", 3),
                    .status = "{\"state\":1}"},
            .addresses = {"10.0.0.2", "fd00::2"},
            .attachment = AttachmentRow{.pod_id = "a1", .network = "n", .record = "{}"}};
  }

  std::string directory_;
};

TEST_F(RecordFileTest, PodIsReadAsItWasWritten) {
  const PodRecordFile wrote = MakePodFile();
  ASSERT_TRUE(WriteRecordFile(directory_, wrote).ok());
  const auto read = ReadPodRecordFile(directory_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->row.id, wrote.row.id);
  EXPECT_EQ(read->row.name, wrote.row.name);
  EXPECT_EQ(read->row.created_at, wrote.row.created_at);
  EXPECT_EQ(read->row.config, wrote.row.config);
  EXPECT_EQ(read->row.status, wrote.row.status);
  EXPECT_THAT(read->addresses, ElementsAre("10.0.0.2", "fd00::2"));
  ASSERT_TRUE(read->attachment.has_value());
  EXPECT_EQ(read->attachment->pod_id, "a1");
  EXPECT_EQ(read->attachment->network, "n");
  EXPECT_EQ(read->attachment->state, AttachmentState::kAdded);
}

TEST_F(RecordFileTest, PodWithoutAnAttachmentHasNone) {
  PodRecordFile pod = MakePodFile();
  pod.attachment.reset();
  ASSERT_TRUE(WriteRecordFile(directory_, pod).ok());
  const auto read = ReadPodRecordFile(directory_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_FALSE(read->attachment.has_value());
}

TEST_F(RecordFileTest, ContainerIsReadAsItWasWritten) {
  const ContainerRow wrote = {.id = "c1",
                              .pod_id = "a1",
                              .name = "c/0/a1",
                              .created_at = 7,
                              .config = std::string("\0\xff", 2),
                              .image = "{\"id\":\"i\"}",
                              .status = "{}"};
  ASSERT_TRUE(WriteRecordFile(directory_, wrote).ok());
  const auto read = ReadContainerRecordFile(directory_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->id, wrote.id);
  EXPECT_EQ(read->pod_id, wrote.pod_id);
  EXPECT_EQ(read->name, wrote.name);
  EXPECT_EQ(read->created_at, wrote.created_at);
  EXPECT_EQ(read->config, wrote.config);
  EXPECT_EQ(read->image, wrote.image);
  EXPECT_EQ(read->status, wrote.status);
}

TEST_F(RecordFileTest, NoFileIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(ReadPodRecordFile(directory_).status()));
  EXPECT_TRUE(absl::IsNotFound(ReadContainerRecordFile(directory_).status()));
}

TEST_F(RecordFileTest, DamageIsDataLoss) {
  for (const char* text :
       {"", "{", "[]", "null", "{\"version\":1}", "{\"version\":\"1\"}", "{\"version\":2}",
        "{\"version\":1,\"id\":\"a\",\"name\":\"b\",\"created_at\":1,\"config\":\"!\","
        "\"status\":\"\",\"addresses\":[]}",
        "{\"version\":1,\"id\":\"a\",\"name\":\"b\",\"created_at\":1,\"config\":7,"
        "\"status\":\"\",\"addresses\":[]}",
        "{\"version\":1,\"id\":\"a\",\"name\":\"b\",\"created_at\":1,\"config\":\"\","
        "\"status\":\"\",\"addresses\":[],\"attachment\":3}"}) {
    Overwrite(text);
    EXPECT_TRUE(absl::IsDataLoss(ReadPodRecordFile(directory_).status())) << text;
    EXPECT_TRUE(absl::IsDataLoss(ReadContainerRecordFile(directory_).status())) << text;
  }
}

}  // namespace
}  // namespace berth
