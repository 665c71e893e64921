#include "src/image/image_catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/image/digest.h"
#include "src/store/testing/database_fixture.h"

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ImageCatalogTest : public DatabaseFixture {
 protected:
  ImageCatalog Open() const { return *ImageCatalog::Open(directory_); }
  static LayerRow MakeLayer(int64_t number) {
    return {.number = number,
            .key = absl::StrCat("sha256:", number),
            .size_bytes = 10 * number,
            .inodes = number,
            .opaque_root = number == 2,
            .blob_digest = absl::StrCat("sha256:blob", number),
            .blob_bytes = 5 * number};
  }
  static ImageRow MakeImage(const std::string& config, std::vector<int64_t> layers) {
    return {.id = Digest::Sha256(config).text(),
            .config = config,
            .manifest = std::string("m\0\xff", 3),
            .manifest_type = "type",
            .size_bytes = 99,
            .pulled_at = 7,
            .layers = std::move(layers),
            .names = {"docker.io/library/" + config + ":v1"}};
  }
  size_t Files() const {
    const std::filesystem::directory_iterator files(directory_ + "/images");
    return static_cast<size_t>(std::distance(begin(files), end(files)));
  }
  void ReadRows() {
    ASSERT_TRUE(database_
                    ->Read([this](Database::Transaction& transaction) -> absl::Status {
                      ASSIGN_OR_RETURN(layers_, ReadLayerRows(transaction));
                      ASSIGN_OR_RETURN(images_, ReadImageRows(transaction));
                      return absl::OkStatus();
                    })
                    .ok());
  }
  std::vector<LayerRow> layers_;
  std::vector<ImageRow> images_;
};

TEST_F(ImageCatalogTest, RowsAreMadeAgainAsTheyWere) {
  const ImageRow image = MakeImage("one", {1, 2});
  ASSERT_TRUE(Open().Follow({MakeLayer(1), MakeLayer(2)}, {image}).ok());
  const auto rebuilt = Open().Rebuild(*database_);
  ASSERT_TRUE(rebuilt.ok()) << rebuilt.status();
  EXPECT_EQ(*rebuilt, 1);
  ReadRows();
  ASSERT_THAT(images_, SizeIs(1));
  EXPECT_EQ(images_[0].id, image.id);
  EXPECT_EQ(images_[0].config, image.config);
  EXPECT_EQ(images_[0].manifest, image.manifest);
  EXPECT_EQ(images_[0].manifest_type, image.manifest_type);
  EXPECT_EQ(images_[0].size_bytes, image.size_bytes);
  EXPECT_EQ(images_[0].pulled_at, image.pulled_at);
  EXPECT_EQ(images_[0].names, image.names);
  EXPECT_THAT(images_[0].layers, ElementsAre(1, 2));
  ASSERT_THAT(layers_, SizeIs(2));
  EXPECT_EQ(layers_[1].key, "sha256:2");
  EXPECT_EQ(layers_[1].size_bytes, 20);
  EXPECT_EQ(layers_[1].inodes, 2);
  EXPECT_TRUE(layers_[1].opaque_root);
  EXPECT_EQ(layers_[1].blob_digest, "sha256:blob2");
  EXPECT_EQ(layers_[1].blob_bytes, 10);
}

TEST_F(ImageCatalogTest, SharedLayersAreOneRow) {
  ASSERT_TRUE(
      Open()
          .Follow({MakeLayer(1), MakeLayer(2)}, {MakeImage("one", {1}), MakeImage("two", {1, 2})})
          .ok());
  const auto rebuilt = Open().Rebuild(*database_);
  ASSERT_TRUE(rebuilt.ok()) << rebuilt.status();
  EXPECT_EQ(*rebuilt, 2);
  ReadRows();
  EXPECT_THAT(layers_, SizeIs(2));
}

TEST_F(ImageCatalogTest, FilesFollowChangesAndRemovals) {
  ImageCatalog catalog = Open();
  ImageRow one = MakeImage("one", {1});
  ASSERT_TRUE(catalog.Follow({MakeLayer(1)}, {one, MakeImage("two", {1})}).ok());
  EXPECT_EQ(Files(), 2u);
  one.names = {"docker.io/library/renamed:v2"};
  ASSERT_TRUE(catalog.Follow({MakeLayer(1)}, {one}).ok());
  EXPECT_EQ(Files(), 1u);
  ASSERT_TRUE(Open().Rebuild(*database_).ok());
  ReadRows();
  ASSERT_THAT(images_, SizeIs(1));
  EXPECT_THAT(images_[0].names, ElementsAre("docker.io/library/renamed:v2"));
}

TEST_F(ImageCatalogTest, WhatIsDamagedIsLeftOut) {
  const ImageRow one = MakeImage("one", {1}), two = MakeImage("two", {2});
  ASSERT_TRUE(Open().Follow({MakeLayer(1), MakeLayer(2)}, {one, two}).ok());
  const std::string path = directory_ + "/images/" + one.id.substr(7) + ".json";
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  // Another image's content under this name.
  std::filesystem::copy_file(directory_ + "/images/" + two.id.substr(7) + ".json",
                             directory_ + "/images/" + std::string(64, 'a') + ".json");
  std::ofstream(directory_ + "/images/" + std::string(64, 'b') + ".json") << "{\"version\":1}";
  const auto rebuilt = Open().Rebuild(*database_);
  ASSERT_TRUE(rebuilt.ok()) << rebuilt.status();
  EXPECT_EQ(*rebuilt, 1);
  ReadRows();
  ASSERT_THAT(images_, SizeIs(1));
  EXPECT_EQ(images_[0].id, two.id);
}

TEST_F(ImageCatalogTest, NothingIsThereAtFirst) {
  const auto rebuilt = Open().Rebuild(*database_);
  ASSERT_TRUE(rebuilt.ok()) << rebuilt.status();
  EXPECT_EQ(*rebuilt, 0);
  ReadRows();
  EXPECT_THAT(images_, IsEmpty());
}

}  // namespace
}  // namespace berth
