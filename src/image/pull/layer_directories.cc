#include "src/image/pull/layer_directories.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"
#include "src/image/pull/layer_path.h"

namespace berth {
namespace {

constexpr size_t kMaxOpen = 24;  // of one layer; layers are unpacked in parallel
constexpr int kMaxLinks = 40;    // what the kernel follows
constexpr int kDirFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

absl::Status SetTime(int fd, const timespec& mtime, const std::string& path) {
  const timespec times[2] = {mtime, mtime};
  return ::futimens(fd, times) == 0 ? absl::OkStatus() : EntryError("utimens", path);
}

// What a directory was left with, so that it can be left like that again.
absl::Status Recall(LayerDirectory& directory) {
  struct stat st;
  if (::fstat(directory.fd.get(), &st) != 0) return EntryError("stat", directory.path);
  directory.mtime = st.st_mtim;
  directory.plain = st.st_gid == 0 && (st.st_mode & S_ISGID) == 0;
  return absl::OkStatus();
}

}  // namespace

absl::Status LayerDirectories::Prepare() {
  LayerDirectory root{.path = ".", .plain = true};
  root.fd.reset(::openat(root_, ".", kDirFlags));
  if (!root.fd.valid()) return EntryError("open", ".");
  if (::fchown(root.fd.get(), 0, 0) != 0) return EntryError("chown", ".");
  if (::fchmod(root.fd.get(), 0755) != 0) return EntryError("chmod", ".");
  const bool no_acl = ::fremovexattr(root.fd.get(), "system.posix_acl_default") == 0 ||
                      errno == ENODATA || errno == EOPNOTSUPP;
  if (!no_acl) return EntryError("removexattr system.posix_acl_default of", ".");
  stack_.push_back(std::move(root));
  return absl::OkStatus();
}

absl::Status LayerDirectories::Open(size_t index) {
  LayerDirectory& directory = stack_[index];
  if (directory.fd.valid()) return absl::OkStatus();
  if (const LayerDirectory& parent = stack_[index - 1]; parent.fd.valid()) {
    directory.fd.reset(::openat(parent.fd.get(), directory.name.c_str(), kDirFlags));
    return directory.fd.valid() ? absl::OkStatus() : EntryError("open", directory.path);
  }
  ASSIGN_OR_RETURN(const UniqueFd place, OpenLayerDir(root_, directory.path));
  directory.fd.reset(::openat(place.get(), ".", kDirFlags));
  return directory.fd.valid() ? absl::OkStatus() : EntryError("open", directory.path);
}

absl::Status LayerDirectories::Leave(size_t keep) {
  for (; stack_.size() > keep; stack_.pop_back()) {
    LayerDirectory& last = stack_.back();
    if (last.changed && last.mtime.has_value()) {
      if (last.fd.valid()) {
        RETURN_IF_ERROR(SetTime(last.fd.get(), *last.mtime, last.path));
      } else {
        RETURN_IF_ERROR(Open(stack_.size() - 2));
        const timespec times[2] = {*last.mtime, *last.mtime};
        if (::utimensat(stack_[stack_.size() - 2].fd.get(), last.name.c_str(), times,
                        AT_SYMLINK_NOFOLLOW) != 0) {
          return EntryError("utimens", last.path);
        }
      }
    }
    if (last.record.has_value() && tree_ != nullptr) RETURN_IF_ERROR(tree_->Add(*last.record));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<std::string>> LayerDirectories::Descend(absl::string_view name,
                                                                     MakeMissing make) {
  RETURN_IF_ERROR(Open(stack_.size() - 1));
  LayerDirectory& parent = stack_.back();
  LayerDirectory next{.name = std::string(name)};
  next.path = stack_.size() == 1 ? next.name : absl::StrCat(parent.path, "/", name);
  next.fd.reset(::openat(parent.fd.get(), next.name.c_str(), kDirFlags));
  if (!next.fd.valid()) {
    char link[PATH_MAX];
    const ssize_t n = ::readlinkat(parent.fd.get(), next.name.c_str(), link, sizeof(link));
    if (n > 0) return std::string(link, static_cast<size_t>(n));
    RETURN_IF_ERROR(make(parent.fd.get(), next.name, next.path));
    parent.changed = true;
    irregular_ = true;
    next.fd.reset(::openat(parent.fd.get(), next.name.c_str(), kDirFlags));
    if (!next.fd.valid()) return EntryError("open", next.path);
  }
  RETURN_IF_ERROR(Recall(next));
  Push(std::move(next));
  return std::nullopt;
}

void LayerDirectories::Push(LayerDirectory directory) {
  stack_.push_back(std::move(directory));
  if (stack_.size() > kMaxOpen) stack_[stack_.size() - kMaxOpen + 1].fd.reset();
}

absl::StatusOr<LayerDirectory*> LayerDirectories::Enter(
    absl::Span<const absl::string_view> components, MakeMissing make) {
  size_t common = 0;
  while (common < components.size() && common + 1 < stack_.size() &&
         stack_[common + 1].name == components[common]) {
    ++common;
  }
  RETURN_IF_ERROR(Leave(common + 1));
  // The first is next. Links put their text in front.
  std::vector<std::string> ahead(components.rbegin(), components.rend() - common);
  for (int links = 0; !ahead.empty();) {
    const std::string name = std::exchange(ahead.back(), {});
    ahead.pop_back();
    if (name == "..") {
      RETURN_IF_ERROR(Leave(std::max<size_t>(stack_.size() - 1, 1)));
      continue;
    }
    ASSIGN_OR_RETURN(const std::optional<std::string> link, Descend(name, make));
    if (!link.has_value()) continue;
    if (++links > kMaxLinks || link->size() == PATH_MAX)
      return RefuseEntry(JoinLayerPath(components, components.size()), "too many symbolic links");
    if (link->front() == '/') RETURN_IF_ERROR(Leave(1));
    std::vector<std::string> text = absl::StrSplit(*link, '/', absl::SkipEmpty());
    std::erase(text, ".");
    ahead.insert(ahead.end(), std::make_move_iterator(text.rbegin()),
                 std::make_move_iterator(text.rend()));
  }
  RETURN_IF_ERROR(Open(stack_.size() - 1));
  stack_.back().changed = true;
  return &stack_.back();
}

void LayerDirectories::Add(LayerDirectory made) {
  made.changed = true;
  Push(std::move(made));
}

absl::StatusOr<LayerDirectory*> LayerDirectories::Find(absl::string_view path) {
  if (path.empty()) return &stack_.front();
  for (size_t i = stack_.size() - 1; i > 0; --i) {
    if (stack_[i].path.size() != path.size() || stack_[i].path != path) continue;
    RETURN_IF_ERROR(Open(i));
    return &stack_[i];
  }
  return nullptr;
}

absl::Status LayerDirectories::Finish() { return Leave(0); }

}  // namespace berth
