// A directory of layers on a real file system, unpacked from archives that a test writes. For the
// root tests of this folder.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/image/pull/layer_walk.h"
#include "src/image/pull/tar.h"
#include "src/image/pull/unpack.h"
#include "src/image/pull/verify.h"
#include "src/image/testing/tar_writer.h"
#include "src/kernel/file.h"

namespace berth {

inline std::string Link(const std::string& path, const std::string& target) {
  return testing_image::TarBytes({.path = path, .type = '1', .link = target});
}
inline std::string Symlink(const std::string& path, const std::string& target) {
  return testing_image::TarBytes({.path = path, .type = '2', .link = target});
}

class LayerFixture : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: layers hold other users' files";
    ::umask(0);
    char name[] = "/tmp/berth-unpack-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    base_ = name;
    NewLayer();
  }

  void TearDown() override {
    if (base_.empty()) return;
    // What no test may ever bring about: a file beside the layers.
    const auto beside = ListDir(AT_FDCWD, base_);
    ASSERT_TRUE(beside.ok()) << beside.status();
    for (const std::string& entry : *beside) EXPECT_TRUE(entry.rfind("layer", 0) == 0) << entry;
    EXPECT_TRUE(RemoveTreeAt(AT_FDCWD, base_).ok());
  }

  void NewLayer() {
    root_path_ = absl::StrCat(base_, "/layer", layers_++);
    ASSERT_EQ(::mkdir(root_path_.c_str(), 0755), 0);
    root_ = UniqueFd(::open(root_path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    needs_ = {};
  }

  // Every layer that is unpacked is also compared with the tree that was written meanwhile.
  absl::StatusOr<UnpackStats> Unpack(const std::vector<std::string>& entries,
                                     const UnpackLimits& limits = {}) {
    const bool fresh = ListDir(root_.get(), ".").value().empty();
    tree_.reset(::open(base_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    LayerTreeWriter tree(tree_.get());
    Unpacker unpacker(root_.get(), &tree, limits);
    TarReader reader(unpacker);
    absl::Status status;
    for (const std::string& entry : entries) {
      if (status.ok()) status = reader.Feed(entry);
    }
    if (status.ok()) status = reader.Feed(testing_image::TarEnd());
    if (status.ok()) status = reader.Finish();
    if (!status.ok()) return status;
    needs_ = unpacker.needs();
    opaque_root_ = unpacker.opaque_root();
    absl::StatusOr<UnpackStats> stats = unpacker.Finish();
    if (!stats.ok() || !needs_.empty()) return stats;
    tree_was_streamed_ = fresh && unpacker.tree_is_good();
    const absl::Status written =
        tree_was_streamed_ ? tree.Finish() : WriteTreeOf(root_.get(), tree_.get()).status();
    EXPECT_TRUE(written.ok()) << written;
    EXPECT_THAT(Differences(), testing::IsEmpty());
    return stats;
  }

  // What the layer and its tree differ in, as "path what".
  std::vector<std::string> Differences() {
    const auto result = VerifyLayer(root_.get(), tree_.get());
    EXPECT_TRUE(result.ok()) << result.status();
    std::vector<std::string> told;
    if (!result.ok()) return told;
    for (const LayerDifference& one : result->first)
      told.push_back(absl::StrCat(one.path, " ", one.what));
    return told;
  }

  void UnpackOk(const std::vector<std::string>& entries) {
    const auto stats = Unpack(entries);
    ASSERT_TRUE(stats.ok()) << stats.status();
  }

  absl::StatusCode Refusal(const std::vector<std::string>& entries,
                           const UnpackLimits& limits = {}) {
    return Unpack(entries, limits).status().code();
  }

  std::string Path(const std::string& name) { return root_path_ + "/" + name; }
  struct stat Stat(const std::string& name) {
    struct stat st = {};
    EXPECT_EQ(::lstat(Path(name).c_str(), &st), 0) << name;
    return st;
  }
  bool Exists(const std::string& name) {
    struct stat st;
    return ::lstat(Path(name).c_str(), &st) == 0;
  }
  std::string Read(const std::string& name) {
    return ReadFileAt(AT_FDCWD, Path(name)).value_or("(unreadable)");
  }
  std::string Xattr(const std::string& name, const char* attribute) {
    char value[256];
    const ssize_t n = ::lgetxattr(Path(name).c_str(), attribute, value, sizeof(value));
    return n < 0 ? "(none)" : std::string(value, static_cast<size_t>(n));
  }
  bool IsWhiteout(const std::string& name) {
    const struct stat st = Stat(name);
    return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
  }
  bool IsOpaque(const std::string& name) { return Xattr(name, "trusted.overlay.opaque") == "y"; }
  std::vector<std::string> Names(const std::string& directory) {
    return ListDir(AT_FDCWD, Path(directory)).value();
  }

  std::string base_, root_path_;
  int layers_ = 0;
  UniqueFd root_;
  LayerNeeds needs_;
  bool opaque_root_ = false, tree_was_streamed_ = false;
  UniqueFd tree_;
};

}  // namespace berth
