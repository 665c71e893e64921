#include "src/image/pull/unpack.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/image/layer_lookup.h"
#include "src/image/pull/layer_xattr.h"
#include "src/kernel/file.h"

namespace berth {

struct Unpacker::Place {
  int parent = -1;   // borrowed from the unpacker
  std::string name;  // "" for the root of the layer
  std::string path;  // normalised, for messages
};

namespace {

constexpr absl::string_view kWhiteout = ".wh.";
constexpr absl::string_view kOpaque = ".wh..wh..opq";
constexpr absl::string_view kAufsMetadata = ".wh..wh.";
constexpr int64_t kBlock = 4096;

}  // namespace

absl::Status Unpacker::CountInode() {
  if (++stats_.inodes > limits_.inodes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("unpack: more than ", limits_.inodes, " files in a layer"));
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> Unpacker::MakeImpliedDir(int parent, const std::string& name,
                                                  const std::string& path) {
  struct stat st;
  const bool exists = ::fstatat(parent, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
  const bool whiteout = exists && IsWhiteoutNode(st);
  if (exists && !whiteout) return RefuseEntry(path, "an entry that is no directory is in the way");
  if (whiteout && ::unlinkat(parent, name.c_str(), 0) != 0) return EntryError("unlink", path);
  RETURN_IF_ERROR(CountInode());
  if (::mkdirat(parent, name.c_str(), 0755) != 0) return EntryError("mkdir", path);
  stats_.size_bytes += kBlock;
  implied_.push_back(path);
  ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (::fchmod(fd.get(), 0755) != 0) return EntryError("chmod", path);
  if (whiteout) RETURN_IF_ERROR(SetOpaque(fd.get(), path));
  return fd;
}

absl::StatusOr<UniqueFd> Unpacker::MakeParents(const std::string& path) {
  const std::vector<absl::string_view> components = absl::StrSplit(path, '/');
  ASSIGN_OR_RETURN(UniqueFd directory, OpenLayerDir(root_, "."));
  for (size_t i = 0; i < components.size(); ++i) {
    const std::string prefix = JoinLayerPath(components, i + 1);
    absl::StatusOr<UniqueFd> next = OpenLayerDir(root_, prefix);
    if (!next.ok()) next = MakeImpliedDir(directory.get(), std::string(components[i]), prefix);
    if (!next.ok()) return next.status();
    directory = *std::move(next);
  }
  return directory;
}

absl::StatusOr<int> Unpacker::Parent(const std::string& path, bool create) {
  if (path.empty()) return root_;
  if (parent_.valid() && parent_path_ == path) return parent_.get();
  absl::StatusOr<UniqueFd> directory = OpenLayerDir(root_, path);
  if (!directory.ok() && create) directory = MakeParents(path);
  if (!directory.ok()) return directory.status();
  parent_ = *std::move(directory);
  parent_path_ = path;
  return parent_.get();
}

absl::StatusOr<Unpacker::Place> Unpacker::PlaceOf(absl::string_view path, bool create_parents) {
  ASSIGN_OR_RETURN(const std::vector<absl::string_view> components,
                   SplitLayerPath(path, limits_.path));
  if (components.empty()) return Place{.parent = root_, .name = "", .path = "."};
  Place place{.name = std::string(components.back()),
              .path = JoinLayerPath(components, components.size())};
  ASSIGN_OR_RETURN(place.parent,
                   Parent(JoinLayerPath(components, components.size() - 1), create_parents));
  return place;
}

absl::Status Unpacker::Begin(const TarEntry& entry) {
  ASSIGN_OR_RETURN(const std::vector<absl::string_view> components,
                   SplitLayerPath(entry.path, limits_.path));
  if (components.empty()) return SetRoot(entry);
  for (size_t i = 0; i + 1 < components.size(); ++i) {
    if (absl::StartsWith(components[i], kWhiteout)) {
      return RefuseEntry(entry.path, "an entry below a whiteout");
    }
  }
  absl::string_view hidden = components.back();
  const bool metadata = absl::StartsWith(hidden, kAufsMetadata) && hidden != kOpaque;
  if (metadata) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Place place, PlaceOf(entry.path, /*create_parents=*/true));
  if (place.name == kOpaque) return MakeOpaque(place);
  if (absl::ConsumePrefix(&hidden, kWhiteout)) return Whiteout(place, hidden);
  return BeginAt(entry, place);
}

absl::Status Unpacker::BeginAt(const TarEntry& entry, const Place& place) {
  switch (entry.type) {
    case TarEntry::Type::kRegular:
      return BeginFile(entry, place);
    case TarEntry::Type::kDirectory:
      return MakeDirectory(entry, place);
    case TarEntry::Type::kSymlink:
      return MakeSymlink(entry, place);
    case TarEntry::Type::kHardLink:
      return MakeHardLink(entry, place);
    case TarEntry::Type::kCharDevice:
    case TarEntry::Type::kBlockDevice:
    case TarEntry::Type::kFifo:
      return MakeNode(entry, place);
  }
  return absl::InternalError("unpack: unknown entry type");
}

// A later entry of the same name replaces an earlier one, with all that is below it.
absl::Status Unpacker::ReplaceExisting(const Place& place) {
  // The cached directory may be below; it is not the one in use, for that would be this entry's
  // parent.
  if (place.parent == root_) parent_.reset();
  return RemoveTreeAt(place.parent, place.name);
}

absl::Status Unpacker::Whiteout(const Place& place, absl::string_view hidden) {
  if (hidden.empty() || hidden == "." || hidden == "..")
    return RefuseEntry(place.path, "a whiteout of nothing");
  const std::string name(hidden);
  struct stat st;
  if (::fstatat(place.parent, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
    // A whiteout is about the layers below; what this layer itself holds under the name stays, and
    // hides them.
    if (!S_ISDIR(st.st_mode)) return absl::OkStatus();
    ASSIGN_OR_RETURN(UniqueFd fd,
                     OpenFile(place.parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    return SetOpaque(fd.get(), place.path);
  }
  RETURN_IF_ERROR(CountInode());
  if (::mknodat(place.parent, name.c_str(), S_IFCHR, makedev(0, 0)) != 0)
    return EntryError("mknod", place.path);
  return absl::OkStatus();
}

absl::Status Unpacker::MakeOpaque(const Place& place) {
  if (place.parent == root_) {
    return absl::UnimplementedError(
        "unpack .wh..wh..opq: an opaque root directory is not supported");
  }
  ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(place.parent, ".", O_RDONLY | O_DIRECTORY));
  return SetOpaque(fd.get(), place.path);
}

absl::Status Unpacker::SetDirectory(int fd, const TarEntry& entry, const std::string& path) {
  if (::fchown(fd, entry.uid, entry.gid) != 0) return EntryError("chown", path);
  if (::fchmod(fd, entry.mode) != 0) return EntryError("chmod", path);
  RETURN_IF_ERROR(SetXattrs(fd, entry, path));
  directory_times_[path] = entry.mtime;
  return absl::OkStatus();
}

absl::Status Unpacker::SetRoot(const TarEntry& entry) {
  if (entry.type != TarEntry::Type::kDirectory)
    return RefuseEntry(entry.path, "the root of the layer is no directory");
  ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(root_, ".", O_RDONLY | O_DIRECTORY));
  return SetDirectory(fd.get(), entry, ".");
}

absl::Status Unpacker::MakeDirectory(const TarEntry& entry, const Place& place) {
  bool opaque = false;
  int made = ::mkdirat(place.parent, place.name.c_str(), 0700);
  if (made != 0 && errno == EEXIST) {
    struct stat st;
    if (::fstatat(place.parent, place.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
      return EntryError("stat", place.path);
    if (!S_ISDIR(st.st_mode)) {
      opaque = IsWhiteoutNode(st);
      RETURN_IF_ERROR(ReplaceExisting(place));
      made = ::mkdirat(place.parent, place.name.c_str(), 0700);
    } else {
      made = 1;
    }
  }
  if (made < 0) return EntryError("mkdir", place.path);
  if (made == 0) {
    RETURN_IF_ERROR(CountInode());
    stats_.size_bytes += kBlock;
  }
  ASSIGN_OR_RETURN(UniqueFd fd,
                   OpenFile(place.parent, place.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (opaque) RETURN_IF_ERROR(SetOpaque(fd.get(), place.path));
  return SetDirectory(fd.get(), entry, place.path);
}

absl::Status Unpacker::BeginFile(const TarEntry& entry, const Place& place) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  RETURN_IF_ERROR(CountInode());
  file_.reset(::openat(place.parent, place.name.c_str(), kFlags, entry.mode & 0777));
  if (!file_.valid() && errno == EEXIST) {
    RETURN_IF_ERROR(ReplaceExisting(place));
    file_.reset(::openat(place.parent, place.name.c_str(), kFlags, entry.mode & 0777));
  }
  if (!file_.valid()) return EntryError("create", place.path);
  file_entry_ = entry;
  file_entry_.path = place.path;
  stats_.size_bytes += (entry.size + kBlock - 1) / kBlock * kBlock;
  return absl::OkStatus();
}

absl::Status Unpacker::Data(absl::string_view bytes) {
  if (!file_.valid()) return absl::OkStatus();  // the content of a whiteout means nothing
  while (!bytes.empty()) {
    const ssize_t n = ::write(file_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return EntryError("write", file_entry_.path);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status Unpacker::End() {
  if (!file_.valid()) return absl::OkStatus();
  const TarEntry& entry = file_entry_;
  // chown clears setuid, setgid and capabilities, so it comes first.
  if (::fchown(file_.get(), entry.uid, entry.gid) != 0) return EntryError("chown", entry.path);
  if ((entry.mode & 07000) != 0 && ::fchmod(file_.get(), entry.mode) != 0)
    return EntryError("chmod", entry.path);
  RETURN_IF_ERROR(SetXattrs(file_.get(), entry, entry.path));
  const timespec times[2] = {entry.mtime, entry.mtime};
  if (::futimens(file_.get(), times) != 0) return EntryError("utimens", entry.path);
  file_.reset();
  return absl::OkStatus();
}

absl::Status Unpacker::MakeSymlink(const TarEntry& entry, const Place& place) {
  if (entry.link.empty()) return RefuseEntry(place.path, "a symbolic link to nothing");
  RETURN_IF_ERROR(CountInode());
  int made = ::symlinkat(entry.link.c_str(), place.parent, place.name.c_str());
  if (made != 0 && errno == EEXIST) {
    RETURN_IF_ERROR(ReplaceExisting(place));
    made = ::symlinkat(entry.link.c_str(), place.parent, place.name.c_str());
  }
  if (made != 0) return EntryError("symlink", place.path);
  return SetNode(entry, place);
}

absl::Status Unpacker::MakeNode(const TarEntry& entry, const Place& place) {
  const mode_t type = entry.type == TarEntry::Type::kFifo         ? S_IFIFO
                      : entry.type == TarEntry::Type::kCharDevice ? S_IFCHR
                                                                  : S_IFBLK;
  const dev_t device = makedev(entry.device_major, entry.device_minor);
  if (type == S_IFCHR && device == makedev(0, 0)) {
    return RefuseEntry(place.path, "character device 0:0 is overlayfs's own whiteout");
  }
  RETURN_IF_ERROR(CountInode());
  int made = ::mknodat(place.parent, place.name.c_str(), type | entry.mode, device);
  if (made != 0 && errno == EEXIST) {
    RETURN_IF_ERROR(ReplaceExisting(place));
    made = ::mknodat(place.parent, place.name.c_str(), type | entry.mode, device);
  }
  if (made != 0) return EntryError("mknod", place.path);
  return SetNode(entry, place);
}

// Owner and time of what has no file descriptor of its own.
absl::Status Unpacker::SetNode(const TarEntry& entry, const Place& place) {
  constexpr int kFlags = AT_SYMLINK_NOFOLLOW;
  if (::fchownat(place.parent, place.name.c_str(), entry.uid, entry.gid, kFlags) != 0) {
    return EntryError("chown", place.path);
  }
  const timespec times[2] = {entry.mtime, entry.mtime};
  if (::utimensat(place.parent, place.name.c_str(), times, kFlags) != 0)
    return EntryError("utimens", place.path);
  return absl::OkStatus();
}

absl::Status Unpacker::MakeHardLink(const TarEntry& entry, const Place& place) {
  ASSIGN_OR_RETURN(const auto target, SplitLayerPath(entry.link, limits_.path));
  if (target.empty()) return RefuseEntry(place.path, "a hard link to the root of the layer");
  const std::string name(target.back());
  ASSIGN_OR_RETURN(
      UniqueFd directory,
      OpenLayerDir(root_, target.size() == 1 ? "." : JoinLayerPath(target, target.size() - 1)));
  struct stat from, to;
  if (::fstatat(directory.get(), name.c_str(), &from, AT_SYMLINK_NOFOLLOW) != 0 ||
      IsWhiteoutNode(from)) {
    return RefuseEntry(place.path,
                       absl::StrCat("a hard link to ", EscapeForLog(entry.link.substr(0, 512)),
                                    ", which this layer does not hold"));
  }
  int made = ::linkat(directory.get(), name.c_str(), place.parent, place.name.c_str(), 0);
  if (made != 0 && errno == EEXIST) {
    const bool same = ::fstatat(place.parent, place.name.c_str(), &to, AT_SYMLINK_NOFOLLOW) == 0 &&
                      from.st_ino == to.st_ino;
    if (same) return absl::OkStatus();
    RETURN_IF_ERROR(ReplaceExisting(place));
    made = ::linkat(directory.get(), name.c_str(), place.parent, place.name.c_str(), 0);
  }
  if (made != 0) return EntryError("link", place.path);
  return absl::OkStatus();
}

absl::StatusOr<UnpackStats> Unpacker::Finish() {
  for (const auto& [path, mtime] : directory_times_) {
    absl::StatusOr<UniqueFd> directory = OpenLayerDir(root_, path);
    if (!directory.ok()) continue;  // a later entry replaced it
    const timespec times[2] = {mtime, mtime};
    if (::utimensat(directory->get(), "", times, AT_EMPTY_PATH) != 0)
      return EntryError("utimens", path);
  }
  return stats_;
}

}  // namespace berth
