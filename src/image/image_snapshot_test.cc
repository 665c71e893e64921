#include "src/image/image_snapshot.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace berth {
namespace {

const std::string kHexA = "abcd" + std::string(60, '0');
const std::string kHexB = "abce" + std::string(60, '0');
const std::string kIdA = "sha256:" + kHexA, kIdB = "sha256:" + kHexB;

ImageSnapshot MakeTwoImages() {
  ImageSnapshot snapshot;
  snapshot.images[kIdA].id = kIdA;
  snapshot.images[kIdB].id = kIdB;
  snapshot.names["docker.io/library/busybox:latest"] = kIdA;
  snapshot.names["docker.io/library/abce:latest"] =
      kIdA;  // a name that looks like the beginning of B's id
  snapshot.names["docker.io/library/busybox@" + kIdB] = kIdB;
  return snapshot;
}

std::string Found(const std::string& reference) {
  const auto image = FindImage(MakeTwoImages(), reference);
  return image.ok() ? image->id : std::string(absl::StatusCodeToString(image.status().code()));
}

TEST(MakeSnapshot, TellsTagsFromDigestsAndStacksEqualLayersOnce) {
  const std::string config = R"({"config":{"User":"u"},"rootfs":{"type":"layers"}})";
  std::vector<std::string> unreadable;
  const ImageSnapshot snapshot = MakeSnapshot(
      {{.number = 1, .size_bytes = 10, .inodes = 2}, {.number = 2, .size_bytes = 5, .inodes = 1}},
      {{.id = kIdA,
        .config = config,
        .size_bytes = 7,
        .layers = {1, 2, 1},
        .names = {"r:t", "r@d"}},
       {.id = kIdB, .config = "damaged", .names = {"x:y"}}},
      unreadable);
  EXPECT_THAT(unreadable, testing::ElementsAre(kIdB));
  ASSERT_EQ(snapshot.images.size(), 1u);
  const Image& image = snapshot.images.at(kIdA);
  EXPECT_THAT(image.repo_tags, testing::ElementsAre("r:t"));
  EXPECT_THAT(image.repo_digests, testing::ElementsAre("r@d"));
  EXPECT_THAT(image.layers, testing::ElementsAre("layers/2", "layers/1"));
  EXPECT_EQ(image.config.user, "u");
  EXPECT_EQ(image.size_bytes, 7);
  EXPECT_EQ(snapshot.names.count("x:y"), 0u);
  EXPECT_EQ(snapshot.usage.used_bytes, 15);
  EXPECT_EQ(snapshot.usage.inodes, 3);
}

TEST(MakeSnapshot, StacksFromTheTopmostOpaqueRoot) {
  std::vector<std::string> unreadable;
  const ImageSnapshot snapshot = MakeSnapshot(
      {{.number = 1}, {.number = 2, .opaque_root = true}, {.number = 3}},
      {{.id = kIdA, .config = R"({"rootfs":{"type":"layers"}})", .layers = {1, 2, 3}}}, unreadable);
  EXPECT_THAT(snapshot.images.at(kIdA).layers, testing::ElementsAre("layers/2", "layers/3"));
  EXPECT_EQ(snapshot.layer_numbers.at(kIdA).size(), 3u) << "all are kept with the image";
}

TEST(FindImage, ByAllThatNamesIt) {
  EXPECT_EQ(Found(kIdA), kIdA);
  EXPECT_EQ(Found(kHexA), kIdA);
  EXPECT_EQ(Found("abcd"), kIdA);
  EXPECT_EQ(Found("sha256:abcd0"), kIdA);
  EXPECT_EQ(Found("busybox"), kIdA);
  EXPECT_EQ(Found("docker.io/busybox:latest"), kIdA);
  EXPECT_EQ(Found("busybox@" + kIdB), kIdB);
  EXPECT_EQ(Found("busybox:any@" + kIdB), kIdB);
}

TEST(FindImage, NameComesBeforeIdPrefix) {
  EXPECT_EQ(Found("abce"), kIdA);
  EXPECT_EQ(Found("abce0"), kIdB);
}

TEST(FindImage, NotFound) {
  for (const std::string& reference :
       {std::string(), std::string("abc"), std::string("sha256:abc"), std::string("busybox:1"),
        std::string("ABCD"), std::string("sha256:zz"), std::string(64, 'f')}) {
    EXPECT_EQ(Found(reference), "NOT_FOUND") << reference;
  }
}

TEST(FindImage, AmbiguousPrefixNamesTheCandidates) {
  ImageSnapshot snapshot = MakeTwoImages();
  const std::string other = "sha256:abcd" + std::string(60, '1');
  snapshot.images[other].id = other;
  const absl::Status status = FindImage(snapshot, "abcd").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              testing::AllOf(testing::HasSubstr(kIdA), testing::HasSubstr(other)));
}

}  // namespace
}  // namespace berth
