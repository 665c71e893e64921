// For tests: an image store with the real berth-pull and a scripted registry. Needs root.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/image/digest.h"
#include "src/image/image_store.h"
#include "src/image/testing/registry_stub.h"
#include "src/image/testing/tar_writer.h"
#include "src/kernel/file.h"

namespace berth {

inline std::string Tar(const std::vector<std::string>& entries) {
  std::string tar;
  for (const std::string& entry : entries) tar += entry;
  return tar + testing_image::TarEnd();
}

inline const std::string kBaseTar = Tar(
    {testing_image::Directory("etc/"), testing_image::File("etc/passwd", "root:x:0:0::/root:\n"),
     testing_image::Directory("tmp/", 01777), testing_image::File("bin", "binary", 04755)});
inline const std::string kAppTar =
    Tar({testing_image::Directory("app/"), testing_image::File("app/run", "run me", 0755)});

class ImageStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: layers hold other users' files";
    char name[] = "/tmp/berth-image-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    data_ = name;
    options_ = {.data_dir = data_, .pull_helper = BERTH_BIN_DIR "/berth-pull", .stall_seconds = 30};
    Reopen();
  }

  void TearDown() override {
    store_.reset();
    database_.reset();
    if (!data_.empty()) {
      EXPECT_TRUE(RemoveTreeAt(AT_FDCWD, data_).ok());
    }
  }

  void Reopen() {
    store_.reset();
    database_.reset();
    auto database = Database::Open(data_ + "/state.db");
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);
    auto store = ImageStore::Open(options_, *database_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  std::string Ref(const std::string& name) { return registry_.host() + "/" + name; }

  absl::StatusOr<std::string> Pull(const std::string& name) {
    return store_->Pull({.reference = Ref(name)});
  }

  // Publishes under team/app:v1 and pulls it.
  std::string PullOk(const testing_image::StubImage& image,
                     const std::string& repository = "team/app", const std::string& tag = "v1") {
    registry_.Publish(repository, tag, image);
    const auto id = Pull(repository + ":" + tag);
    EXPECT_TRUE(id.ok()) << id.status();
    return id.value_or("");
  }

  std::vector<std::string> Names(const std::string& directory) {
    auto names = ListDir(AT_FDCWD, data_ + "/" + directory);
    EXPECT_TRUE(names.ok()) << names.status();
    return names.ok() ? *names : std::vector<std::string>();
  }

  struct stat Stat(const std::string& path) {
    struct stat st = {};
    EXPECT_EQ(::lstat((data_ + "/" + path).c_str(), &st), 0) << path;
    return st;
  }

  std::string Read(const std::string& path) {
    const auto content = ReadFileAt(AT_FDCWD, data_ + "/" + path);
    EXPECT_TRUE(content.ok()) << content.status();
    return content.value_or("");
  }

  // Nothing of a failed pull stays: no image, no layer, no work directory.
  void ExpectNothingLeft() {
    EXPECT_THAT(store_->List(), testing::IsEmpty());
    EXPECT_THAT(Names("layers"), testing::IsEmpty());
    EXPECT_THAT(Names("pull"), testing::IsEmpty());
    EXPECT_EQ(store_->DiskUsage().used_bytes, 0);
  }

  // Of the layer, in all repositories.
  int CountBlobRequests(const std::string& tar) {
    const std::string path = "/blobs/" + Digest::Sha256(testing_image::Gzip(tar)).text();
    int count = 0;
    for (const testing_image::StubRequest& request : registry_.requests()) {
      if (absl::EndsWith(request.path, path)) ++count;
    }
    return count;
  }

  static bool NotInUse(absl::string_view) { return false; }

  std::string data_;
  ImageStore::Options options_;
  testing_image::RegistryStub registry_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<ImageStore> store_;
};

}  // namespace berth
