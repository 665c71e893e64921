#include "src/image/user_files.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

constexpr size_t kMaxImages = 64;
constexpr size_t kMaxBytes = 16 << 10;  // of one image; who has more is read each time

}  // namespace

absl::StatusOr<UserFiles> UserFileCache::Of(int data_dir_fd, const Image& image) {
  const std::string key = absl::StrCat(image.id, ":", absl::StrJoin(image.layers, ":"));
  {
    absl::MutexLock lock(&mu_);
    const auto found = files_.find(key);
    if (found != files_.end()) return found->second;
  }
  UserFiles files;
  ASSIGN_OR_RETURN(files.passwd, ReadImageFile(data_dir_fd, image.layers, "etc/passwd"));
  ASSIGN_OR_RETURN(files.group, ReadImageFile(data_dir_fd, image.layers, "etc/group"));
  if (files.passwd.size() + files.group.size() > kMaxBytes) return files;
  absl::MutexLock lock(&mu_);
  if (files_.size() >= kMaxImages) files_.clear();
  files_[key] = files;
  return files;
}

}  // namespace berth
