#include "src/image/pull/adopt.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/image/layer_lookup.h"
#include "src/image/pull/borrow.h"
#include "src/image/pull/layer_path.h"
#include "src/image/pull/layer_xattr.h"
#include "src/image/pull/merged_path.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

using Kind = LayerEntry::Kind;

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}
std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }
std::string Child(const std::string& path, const std::string& name) {
  return path.empty() ? name : absl::StrCat(path, "/", name);
}

absl::Status CopyAttributes(const struct stat& from, int to, const std::string& path) {
  if (::fchown(to, from.st_uid, from.st_gid) != 0) return EntryError("chown", path);
  if (::fchmod(to, from.st_mode & 07777) != 0) return EntryError("chmod", path);
  const timespec times[2] = {from.st_mtim, from.st_mtim};
  if (::futimens(to, times) != 0) return EntryError("utimens", path);
  return absl::OkStatus();
}

bool IsOpaque(int directory) {
  char value = 0;
  return ::fgetxattr(directory, kOpaqueXattr, &value, 1) == 1 && value == 'y';
}

class Adopter {
 public:
  Adopter(int layer, const LayerNeeds& needs, const std::vector<int>& below)
      : layer_(layer), below_(below), merged_(below), implied_(needs.directories) {
    merged_.push_back(layer);
  }

  absl::Status Run(const LayerNeeds& needs) {
    // What a move makes comes in at the end, so the list grows while it is gone through.
    for (size_t i = 0; i < implied_.size(); ++i) RETURN_IF_ERROR(PutInPlace(i));
    for (const LayerNeeds::Link& link : needs.links)
      RETURN_IF_ERROR(Fill({.path = Moved(link.path), .target = link.target}));
    for (const auto& [path, st] : times_) {
      const auto directory = Open(path);
      if (!directory.ok()) continue;  // it was moved, and was of no time of its own
      const timespec times[2] = {st.st_mtim, st.st_mtim};
      if (::futimens(directory->get(), times) != 0) return EntryError("utimens", path);
    }
    // Those below first: giving one its time does not change the time of another.
    for (const std::string& path : implied_) RETURN_IF_ERROR(TakeAttributes(path));
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<UniqueFd> Open(const std::string& path) const {
    ASSIGN_OR_RETURN(const UniqueFd place, OpenLayerDir(layer_, path, Links::kRefuse));
    return OpenFile(place.get(), ".", O_RDONLY | O_DIRECTORY);
  }

  // To be called before a directory of the layer is changed: it keeps its time.
  absl::StatusOr<UniqueFd> OpenToChange(const std::string& path) {
    ASSIGN_OR_RETURN(UniqueFd directory, Open(path));
    struct stat st;
    if (::fstat(directory.get(), &st) != 0) return EntryError("stat", path);
    times_.emplace(path, st);
    return directory;
  }

  // Where what was unpacked as `path` lies now.
  std::string Moved(std::string path) const {
    for (const auto& [from, to] : moves_) {
      if (path == from) path = to;
      if (absl::StartsWith(path, absl::StrCat(from, "/")))
        path = Child(to, path.substr(from.size() + 1));
    }
    return path;
  }

  absl::Status PutInPlace(size_t index) {
    const std::string path = Moved(implied_[index]);
    implied_[index] = path;
    if (path.empty()) return absl::OkStatus();
    if (!Open(path).ok()) return absl::OkStatus();  // a later entry of the layer replaced it
    ASSIGN_OR_RETURN(const LayerEntry entry, FindInLayers(below_, path));
    if (entry.kind != Kind::kPresent || !S_ISLNK(entry.st.st_mode)) return absl::OkStatus();
    char link[PATH_MAX];
    const ssize_t n = ::readlinkat(entry.parent.get(), entry.name.c_str(), link, sizeof(link));
    if (n < 0) return EntryError("readlink", path);
    ASSIGN_OR_RETURN(const std::string to,
                     ResolveInLayers(merged_, ParentOf(path), {link, static_cast<size_t>(n)}));
    if (to == path || absl::StartsWith(to, absl::StrCat(path, "/")))
      return RefuseEntry(path, "a symbolic link of a lower layer leads into itself");
    RETURN_IF_ERROR(MakeDirectories(to));
    RETURN_IF_ERROR(Merge(path, to));
    ASSIGN_OR_RETURN(const UniqueFd parent, OpenToChange(ParentOf(path)));
    if (::unlinkat(parent.get(), NameOf(path).c_str(), AT_REMOVEDIR) != 0)
      return EntryError("rmdir", path);
    moves_.emplace_back(path, to);
    implied_[index].clear();
    return absl::OkStatus();
  }

  // `path` and what is missing on the way to it; they get their attributes later.
  absl::Status MakeDirectories(const std::string& path) {
    if (path.empty() || Open(path).ok()) return absl::OkStatus();
    RETURN_IF_ERROR(MakeDirectories(ParentOf(path)));
    ASSIGN_OR_RETURN(const UniqueFd parent, OpenToChange(ParentOf(path)));
    struct stat st;
    const bool whiteout =
        ::fstatat(parent.get(), NameOf(path).c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        IsWhiteoutNode(st);
    if (whiteout && ::unlinkat(parent.get(), NameOf(path).c_str(), 0) != 0)
      return EntryError("unlink", path);
    if (::mkdirat(parent.get(), NameOf(path).c_str(), 0755) != 0) return EntryError("mkdir", path);
    if (whiteout) {
      ASSIGN_OR_RETURN(const UniqueFd made, Open(path));
      return SetOpaque(made.get(), path);
    }
    implied_.push_back(path);
    return absl::OkStatus();
  }

  // All that is in one directory of the layer goes into another.
  absl::Status Merge(const std::string& from, const std::string& to) {
    ASSIGN_OR_RETURN(const UniqueFd source, Open(from));
    ASSIGN_OR_RETURN(const UniqueFd target, OpenToChange(to));
    if (IsOpaque(source.get())) RETURN_IF_ERROR(SetOpaque(target.get(), to));
    ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDir(source.get(), "."));
    for (const std::string& name : names) {
      if (::renameat2(source.get(), name.c_str(), target.get(), name.c_str(), RENAME_NOREPLACE) ==
          0) {
        continue;
      }
      if (errno != EEXIST) return EntryError("rename", Child(from, name));
      RETURN_IF_ERROR(MergeExisting(Child(from, name), Child(to, name)));
      if (::unlinkat(source.get(), name.c_str(), AT_REMOVEDIR) != 0)
        return EntryError("rmdir", Child(from, name));
    }
    return absl::OkStatus();
  }

  // Two directories of one name, of which the archive held at most one.
  absl::Status MergeExisting(const std::string& from, const std::string& to) {
    const auto source = Open(from), target = Open(to);
    const auto implied = [&](const std::string& path) {
      return std::find(implied_.begin(), implied_.end(), path);
    };
    const bool from_is_own = implied(from) == implied_.end();
    const auto to_implied = implied(to);
    if (!source.ok() || !target.ok() || (from_is_own && to_implied == implied_.end())) {
      return RefuseEntry(to, absl::StrCat("it is in the archive twice, also as ",
                                          EscapeForLog(from.substr(0, 512))));
    }
    if (from_is_own) {
      struct stat st;
      if (::fstat(source->get(), &st) != 0) return EntryError("stat", from);
      RETURN_IF_ERROR(CopyAttributes(st, target->get(), to));
      RETURN_IF_ERROR(CopyXattrs(source->get(), target->get(), to));
      to_implied->clear();
    }
    return Merge(from, to);
  }

  absl::Status TakeAttributes(const std::string& path) {
    if (path.empty()) return absl::OkStatus();
    const absl::StatusOr<UniqueFd> directory = Open(path);
    if (!directory.ok()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const LayerEntry entry, FindInLayers(below_, path));
    if (entry.kind != Kind::kPresent || !S_ISDIR(entry.st.st_mode)) return absl::OkStatus();
    ASSIGN_OR_RETURN(const UniqueFd below,
                     OpenFile(entry.parent.get(), entry.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    RETURN_IF_ERROR(CopyXattrs(below.get(), directory->get(), path));
    return CopyAttributes(entry.st, directory->get(), path);
  }

  // The file that stands for one of the layers below becomes a copy of it.
  absl::Status Fill(const LayerNeeds::Link& link) {
    ASSIGN_OR_RETURN(const std::string parent_of_target,
                     ResolveInLayers(merged_, "", ParentOf(link.target)));
    const std::string target = Child(parent_of_target, NameOf(link.target));
    const auto parent = OpenToChange(ParentOf(link.path));
    if (!parent.ok()) return absl::OkStatus();  // replaced, with what it was in
    const BorrowedName borrowed = {.parent = parent->get(), .name = NameOf(link.path)};
    if (!IsBorrowed(borrowed)) return absl::OkStatus();  // replaced, or filled under another name
    ASSIGN_OR_RETURN(const LayerEntry here, FindInLayers(merged_, target));
    ASSIGN_OR_RETURN(const bool deleted, IsDeletedHere(target));
    ASSIGN_OR_RETURN(const LayerEntry below, FindInLayers(below_, target));
    if (below.kind != Kind::kPresent || S_ISDIR(below.st.st_mode) ||
        (here.kind != Kind::kPresent && !deleted)) {
      return RefuseEntry(link.path,
                         absl::StrCat("a hard link to ", EscapeForLog(link.target.substr(0, 512)),
                                      ", which is in no layer"));
    }
    RETURN_IF_ERROR(FillBorrowed(borrowed, below, link.path));
    if (deleted || Open(ParentOf(target)).ok()) {
      struct stat st;
      const absl::StatusOr<UniqueFd> place = Open(ParentOf(target));
      const bool taken = place.ok() && ::fstatat(place->get(), NameOf(target).c_str(), &st,
                                                 AT_SYMLINK_NOFOLLOW) == 0;
      if (taken) return absl::OkStatus();  // the layer has an entry of that name of its own
    }
    RETURN_IF_ERROR(MakeDirectories(ParentOf(target)));
    ASSIGN_OR_RETURN(const UniqueFd place, OpenToChange(ParentOf(target)));
    if (::linkat(parent->get(), borrowed.name.c_str(), place.get(), NameOf(target).c_str(), 0) != 0)
      return EntryError("link", target);
    return absl::OkStatus();
  }

  // Whether the layer itself holds a whiteout of that name.
  absl::StatusOr<bool> IsDeletedHere(const std::string& path) const {
    const absl::StatusOr<UniqueFd> parent = Open(ParentOf(path));
    struct stat st;
    return parent.ok() &&
           ::fstatat(parent->get(), NameOf(path).c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           IsWhiteoutNode(st);
  }

  const int layer_;
  const std::vector<int>& below_;
  std::vector<int> merged_;           // with the layer on top
  std::vector<std::string> implied_;  // "": one that is gone
  std::vector<std::pair<std::string, std::string>> moves_;
  std::map<std::string, struct stat> times_;
};

}  // namespace

absl::Status Adopt(int layer, const LayerNeeds& needs, const std::vector<int>& below) {
  return Adopter(layer, needs, below).Run(needs);
}

}  // namespace berth
