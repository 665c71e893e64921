#include "src/copy/copy_protocol.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

TEST(CopyJob, RoundTrip) {
  CopyJob in{.direction = CopyJob::Direction::kIn,
             .root = {.layers = {"layers/1", "layers/2"},
                      .upper = "containers/c/upper",
                      .work = "containers/c/work",
                      .read_only = true},
             .path = "/a b\n--pid=1",
             .plan_by_source = true,
             .source_directory = true,
             .source_contents = true,
             .source_name = "--keep-owner",
             .keep_owner = true};
  const auto got = DecodeCopyJob(EncodeCopyJob(in));
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->direction, in.direction);
  EXPECT_EQ(got->root.layers, in.root.layers);
  EXPECT_EQ(got->root.upper, in.root.upper);
  EXPECT_EQ(got->root.work, in.root.work);
  EXPECT_TRUE(got->root.read_only);
  EXPECT_EQ(got->root.pid, 0);
  EXPECT_EQ(got->path, in.path);
  EXPECT_EQ(got->source_name, in.source_name);
  EXPECT_TRUE(got->plan_by_source && got->source_directory && got->source_contents &&
              got->keep_owner);
  EXPECT_FALSE(got->follow_link);
}

TEST(CopyJob, RoundTripOfARunningContainer) {
  const auto got =
      DecodeCopyJob(EncodeCopyJob({.root = {.pid = 17}, .path = "/", .follow_link = true}));
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->root.pid, 17);
  EXPECT_TRUE(got->follow_link);
}

TEST(CopyJob, RefusesWhatItDoesNotKnow) {
  for (const std::vector<std::string>& argv :
       std::vector<std::vector<std::string>>{{},
                                             {"berth-copy"},
                                             {"berth-copy", "up"},
                                             {"berth-copy", "in", "x"},
                                             {"berth-copy", "in", "--pid=0"},
                                             {"berth-copy", "in", "--pid=x"}})
    EXPECT_FALSE(DecodeCopyJob(argv).ok());
}

TEST(CopyPackets, RoundTrip) {
  const std::string stat = EncodeCopyStat(
      {.mode = 0100644, .size = 7, .mtime_ns = -5, .name = "a b", .link_target = "x y"});
  EXPECT_EQ(stat[0], 's');
  const auto decoded = DecodeCopyStat(absl::string_view(stat).substr(1));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->mode, 0100644u);
  EXPECT_EQ(decoded->size, 7);
  EXPECT_EQ(decoded->mtime_ns, -5);
  EXPECT_EQ(decoded->name, "a b");
  EXPECT_EQ(decoded->link_target, "x y");
  const std::string outcome = EncodeCopyOutcome(
      {.entries = 1, .bytes = 2, .skipped_devices = 3, .first_skipped = "dev/sda"});
  const auto end = DecodeCopyOutcome(absl::string_view(outcome).substr(1));
  ASSERT_TRUE(end.ok());
  EXPECT_EQ(end->skipped_devices, 3);
  EXPECT_EQ(end->first_skipped, "dev/sda");
  const absl::Status failure = DecodeCopyFailure(
      absl::string_view(EncodeCopyFailure(absl::NotFoundError("open /x: gone"))).substr(1));
  EXPECT_EQ(failure, absl::NotFoundError("open /x: gone"));
}

TEST(CopyPackets, RefuseNonsense) {
  for (const char* text : {"", "1 2", "1 2 3", "x"}) {
    EXPECT_FALSE(DecodeCopyStat(text).ok()) << text;
    EXPECT_FALSE(DecodeCopyOutcome(text).ok()) << text;
  }
  for (const char* text : {"", "x", "7", "-1 m", "0 ok", "99 m"}) {
    EXPECT_EQ(DecodeCopyFailure(text).code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace berth
