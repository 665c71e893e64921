#include "test/e2e/volume.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "test/e2e/isolation.h"
#include "test/e2e/text_file.h"

namespace berth::e2e {
namespace {

namespace fs = std::filesystem;

}  // namespace

HostDir::HostDir(const std::string& name) : path_(absl::StrCat(NodeDir(), "/", name)) {
  fs::create_directories(path_);
}

HostDir::HostDir(HostDir&& other) noexcept : path_(std::exchange(other.path_, "")) {}

HostDir::~HostDir() {
  if (path_.empty()) return;
  while (umount2(path_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
  }
  std::error_code error;
  fs::remove_all(path_, error);
  if (error) ADD_FAILURE() << "remove " << path_ << ": " << error.message();
}

std::string HostDir::Write(const std::string& name, const std::string& content, int mode) const {
  const std::string file = *this / name;
  fs::create_directories(fs::path(file).parent_path());
  std::ofstream(file, std::ios::binary) << content;
  EXPECT_EQ(chmod(file.c_str(), static_cast<mode_t>(mode)), 0) << file;
  return file;
}

std::string HostDir::Read(const std::string& name) const { return ContentOf(*this / name); }

std::string HostDir::MakeDir(const std::string& name) const {
  fs::create_directories(*this / name);
  return *this / name;
}

absl::StatusOr<HostMount> HostMount::Tmpfs(const std::string& target, Propagation propagation) {
  ASSIGN_OR_RETURN(HostMount made, Type("tmpfs", target));
  const unsigned long flag = propagation == Propagation::kShared ? MS_SHARED : MS_PRIVATE;
  if (mount(nullptr, target.c_str(), nullptr, flag, nullptr) != 0)
    return ErrnoStatus("mount", target);
  return made;
}

absl::StatusOr<HostMount> HostMount::Type(const std::string& type, const std::string& target) {
  if (mount("e2e", target.c_str(), type.c_str(), 0, nullptr) != 0)
    return ErrnoStatus(absl::StrCat("mount ", type), target);
  return HostMount(target);
}

HostMount::HostMount(HostMount&& other) noexcept : target_(std::exchange(other.target_, "")) {}

HostMount::~HostMount() {
  if (!target_.empty()) umount2(target_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
}

}  // namespace berth::e2e
