#include "src/image/pull/layer_walk.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"
#include "src/image/layer_lookup.h"
#include "src/image/pull/content_sum.h"
#include "src/image/pull/layer_path.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

using Take = absl::FunctionRef<absl::Status(const TreeEntry& entry, const absl::Status& damage)>;

constexpr size_t kPiece = 256 << 10;
constexpr int64_t kBlock = 4096;

// Those that an image, overlayfs or a stranger put there; not those that the system's own policies
// add.
bool IsCompared(absl::string_view name) {
  return name == "security.capability" || !absl::StartsWith(name, "security.");
}

class Walker {
 public:
  Walker(int root, Take take) : root_(root), take_(take), piece_(kPiece, '\0') {}

  absl::Status Run() {
    std::vector<std::string> ahead = {""};  // directories, the next one last
    while (!ahead.empty()) {
      const std::string path = std::exchange(ahead.back(), {});
      ahead.pop_back();
      RETURN_IF_ERROR(Directory(path, ahead));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Directory(const std::string& path, std::vector<std::string>& ahead) {
    TreeEntry entry{.type = TreeEntry::Type::kDirectory, .path = path};
    absl::StatusOr<UniqueFd> place = OpenLayerDir(root_, path, Links::kRefuse);
    absl::StatusOr<UniqueFd> directory = place.ok()
                                             ? OpenFile(place->get(), ".", O_RDONLY | O_DIRECTORY)
                                             : absl::StatusOr<UniqueFd>(place.status());
    if (!directory.ok()) return take_(entry, directory.status());
    struct stat st;
    absl::Status damage;
    if (::fstat(directory->get(), &st) != 0) return take_(entry, EntryError("stat", path));
    Attributes(st, entry);
    damage.Update(Xattrs(directory->get(), entry));
    absl::StatusOr<std::vector<std::string>> names = ListDir(directory->get(), ".");
    damage.Update(names.status());
    RETURN_IF_ERROR(take_(entry, damage));
    if (!names.ok()) return absl::OkStatus();
    std::sort(names->begin(), names->end());
    const size_t first = ahead.size();
    for (const std::string& name : *names) {
      const std::string child = path.empty() ? name : absl::StrCat(path, "/", name);
      ASSIGN_OR_RETURN(const bool is_directory, NonDirectory(directory->get(), name, child));
      if (is_directory) ahead.push_back(child);
    }
    std::reverse(ahead.begin() + static_cast<std::ptrdiff_t>(first), ahead.end());
    return absl::OkStatus();
  }

  // True if it is a directory after all.
  absl::StatusOr<bool> NonDirectory(int parent, const std::string& name, const std::string& path) {
    struct stat st;
    TreeEntry entry{.path = path};
    if (::fstatat(parent, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
      RETURN_IF_ERROR(take_(entry, EntryError("stat", path)));
      return false;
    }
    if (S_ISDIR(st.st_mode)) return true;
    if (IsWhiteoutNode(st)) {
      entry.type = TreeEntry::Type::kWhiteout;
      RETURN_IF_ERROR(take_(entry, absl::OkStatus()));
      return false;
    }
    if (st.st_nlink > 1) {
      const auto [first, is_new] = first_names_.emplace(st.st_ino, path);
      if (!is_new) {
        entry.type = TreeEntry::Type::kHardLink;
        entry.link = first->second;
        RETURN_IF_ERROR(take_(entry, absl::OkStatus()));
        return false;
      }
    }
    Attributes(st, entry);
    RETURN_IF_ERROR(take_(entry, Content(parent, name, entry)));
    return false;
  }

  static void Attributes(const struct stat& st, TreeEntry& entry) {
    struct Kind {
      mode_t mode;
      TreeEntry::Type type;
    };
    constexpr std::array kKinds = {
        Kind{S_IFDIR, TreeEntry::Type::kDirectory},   Kind{S_IFREG, TreeEntry::Type::kRegular},
        Kind{S_IFLNK, TreeEntry::Type::kSymlink},     Kind{S_IFCHR, TreeEntry::Type::kCharDevice},
        Kind{S_IFBLK, TreeEntry::Type::kBlockDevice}, Kind{S_IFIFO, TreeEntry::Type::kFifo}};
    for (const Kind& kind : kKinds) {
      if ((st.st_mode & S_IFMT) == kind.mode) entry.type = kind.type;
    }
    entry.mode = st.st_mode & 07777;
    entry.uid = st.st_uid;
    entry.gid = st.st_gid;
    entry.mtime = st.st_mtim;
    if (S_ISREG(st.st_mode)) entry.size = st.st_size;
    if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode)) return;
    entry.device_major = major(st.st_rdev);
    entry.device_minor = minor(st.st_rdev);
  }

  absl::Status Content(int parent, const std::string& name, TreeEntry& entry) {
    if (entry.type == TreeEntry::Type::kSymlink) {
      char link[PATH_MAX];
      const ssize_t n = ::readlinkat(parent, name.c_str(), link, sizeof(link));
      if (n < 0) return EntryError("readlink", entry.path);
      entry.link.assign(link, static_cast<size_t>(n));
    }
    if (entry.type != TreeEntry::Type::kRegular) return absl::OkStatus();
    UniqueFd file(::openat(parent, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME));
    if (!file.valid()) return EntryError("open", entry.path);
    RETURN_IF_ERROR(Xattrs(file.get(), entry));
    hasher_.Restart();
    for (int64_t at = 0;;) {
      const ssize_t n = ::read(file.get(), piece_.data(), piece_.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return EntryError("read", entry.path);
      if (n == 0) break;
      at += n;
      hasher_.Update({piece_.data(), static_cast<size_t>(n)});
    }
    entry.sum = hasher_.Sum();
    return absl::OkStatus();
  }

  static absl::Status Xattrs(int fd, TreeEntry& entry) {
    std::string names(XATTR_LIST_MAX, '\0');
    const ssize_t n = ::flistxattr(fd, names.data(), names.size());
    if (n < 0 && errno == EOPNOTSUPP) return absl::OkStatus();
    if (n < 0) return EntryError("listxattr", entry.path);
    names.resize(static_cast<size_t>(n));
    for (const std::string& name :
         std::vector<std::string>(absl::StrSplit(names, '\0', absl::SkipEmpty()))) {
      if (!IsCompared(name)) continue;
      std::string value(XATTR_SIZE_MAX, '\0');
      const ssize_t size = ::fgetxattr(fd, name.c_str(), value.data(), value.size());
      if (size < 0) return EntryError("getxattr", entry.path);
      value.resize(static_cast<size_t>(size));
      entry.xattrs.emplace(name, std::move(value));
    }
    return absl::OkStatus();
  }

  const int root_;
  const Take take_;
  std::string piece_;
  ContentHasher hasher_;
  std::map<ino_t, std::string> first_names_;
};

}  // namespace

absl::Status WalkLayer(int layer, Take take) { return Walker(layer, take).Run(); }

absl::StatusOr<UnpackStats> WriteTreeOf(int layer, int tree_fd) {
  if (::ftruncate(tree_fd, 0) != 0 || ::lseek(tree_fd, 0, SEEK_SET) != 0)
    return ErrnoStatus("truncate", "layer tree");
  LayerTreeWriter writer(tree_fd);
  UnpackStats stats;
  RETURN_IF_ERROR(WalkLayer(layer, [&](const TreeEntry& entry, const absl::Status& damage) {
    RETURN_IF_ERROR(damage);
    const bool is_root = entry.path.empty();
    if (!is_root && entry.type != TreeEntry::Type::kHardLink) ++stats.inodes;
    if (!is_root && entry.type == TreeEntry::Type::kDirectory) stats.size_bytes += kBlock;
    if (entry.type == TreeEntry::Type::kRegular)
      stats.size_bytes += (entry.size + kBlock - 1) / kBlock * kBlock;
    return writer.Add(entry);
  }));
  RETURN_IF_ERROR(writer.Finish());
  return stats;
}

}  // namespace berth
