#include "src/cli/image_match.h"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

TEST(FindImageByPrefix, NeedsExactlyOne) {
  ::runtime::v1::ListImagesResponse images;
  images.add_images()->set_id("sha256:aa11");
  images.add_images()->set_id("sha256:aa22");
  EXPECT_EQ(*FindImageByPrefix(images, "aa1"), "sha256:aa11");
  EXPECT_EQ(*FindImageByPrefix(images, "sha256:aa2"), "sha256:aa22");
  EXPECT_EQ(FindImageByPrefix(images, "aa").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FindImageByPrefix(images, "bb").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(FindImageByPrefix(images, "").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace berth::cli
