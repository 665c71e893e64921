// Hard links: to what the layer holds already, or to what it borrows from the layers below.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/image/layer_lookup.h"
#include "src/image/pull/borrow.h"
#include "src/image/pull/unpack.h"
#include "src/image/pull/unpack_place.h"

namespace berth {
// The directory that holds a link's target; -1 if this layer has none.
absl::StatusOr<int> Unpacker::LinkParent(const std::string& path) {
  ASSIGN_OR_RETURN(LayerDirectory* const on_the_way, directories_.Find(path));
  if (on_the_way != nullptr) return on_the_way->fd.get();
  if (link_parent_.valid() && link_parent_path_ == path) return link_parent_.get();
  absl::StatusOr<UniqueFd> opened =
      OpenLayerDir(directories_.root().fd.get(), path, Links::kRefuse);
  if (!opened.ok()) {
    opened = OpenLayerDir(directories_.root().fd.get(), path);
    directories_.SetIrregular();  // the record would name another path than the walk
  }
  if (!opened.ok()) return -1;
  link_parent_ = *std::move(opened);
  link_parent_path_ = path;
  return link_parent_.get();
}

absl::Status Unpacker::MakeHardLink(const TarEntry& entry, const Place& place) {
  ASSIGN_OR_RETURN(const auto components, SplitLayerPath(entry.link, limits_.path));
  if (components.empty()) return RefuseEntry(place.path, "a hard link to the root of the layer");
  const std::string target = JoinLayerPath(components, components.size());
  const std::string name(components.back());
  ASSIGN_OR_RETURN(const int parent, LinkParent(JoinLayerPath(components, components.size() - 1)));
  if (parent < 0) return Borrow(target, place);
  struct stat from, to;
  if (whiteouts_ > 0 && ::fstatat(parent, name.c_str(), &from, AT_SYMLINK_NOFOLLOW) == 0 &&
      IsWhiteoutNode(from)) {
    return RefuseEntry(place.path,
                       absl::StrCat("a hard link to ", EscapeForLog(target.substr(0, 512)),
                                    ", which this layer has deleted"));
  }
  int made = ::linkat(parent, name.c_str(), place.fd(), place.name.c_str(), 0);
  if (made != 0 && errno == ENOENT) return Borrow(target, place);
  if (made != 0 && errno == EEXIST) {
    if (::fstatat(parent, name.c_str(), &from, AT_SYMLINK_NOFOLLOW) != 0)
      return Borrow(target, place);
    const bool same = ::fstatat(place.fd(), place.name.c_str(), &to, AT_SYMLINK_NOFOLLOW) == 0 &&
                      from.st_ino == to.st_ino;
    if (same) return absl::OkStatus();
    RETURN_IF_ERROR(ReplaceExisting(place));
    // What was replaced may have held the target's directory.
    return MakeHardLink(entry, place);
  }
  if (made != 0 && errno == EPERM) return RefuseEntry(place.path, "a hard link to a directory");
  if (made != 0) return EntryError("link", place.path);
  if (!needs_.links.empty() && IsBorrowed({.parent = parent, .name = name}))
    needs_.links.push_back({.path = place.path, .target = target});
  return Record({.type = TreeEntry::Type::kHardLink, .path = place.path, .link = target});
}

absl::Status Unpacker::Borrow(const std::string& target, const Place& place) {
  if (target == place.path) return RefuseEntry(place.path, "a hard link to itself");
  if (const auto first = borrowed_.find(target); first != borrowed_.end()) {
    ASSIGN_OR_RETURN(const bool linked, LinkToBorrowed(first->second, place));
    if (linked) {
      needs_.links.push_back({.path = place.path, .target = target});
      return absl::OkStatus();
    }
  }
  RETURN_IF_ERROR(OpenNew({.mode = 0600}, place));
  const UniqueFd file = std::move(file_);
  if (::fsetxattr(file.get(), kBorrowedXattr, "y", 1, 0) != 0)
    return EntryError("setxattr trusted.berth.borrowed of", place.path);
  borrowed_[target] = place.path;
  needs_.links.push_back({.path = place.path, .target = target});
  return absl::OkStatus();
}

// Another name of what stands for the same file already.
absl::StatusOr<bool> Unpacker::LinkToBorrowed(const std::string& first, const Place& place) {
  const size_t slash = first.rfind('/');
  const std::string name = slash == std::string::npos ? first : first.substr(slash + 1);
  const absl::StatusOr<UniqueFd> parent = OpenLayerDir(
      directories_.root().fd.get(), slash == std::string::npos ? "." : first.substr(0, slash));
  if (!parent.ok() || !IsBorrowed({.parent = parent->get(), .name = name})) return false;
  return ::linkat(parent->get(), name.c_str(), place.fd(), place.name.c_str(), 0) == 0;
}

}  // namespace berth
