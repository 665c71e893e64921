#include "src/image/pull/unpack.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"
#include "src/image/layer_lookup.h"
#include "src/image/pull/layer_xattr.h"
#include "src/image/pull/unpack_place.h"
#include "src/kernel/file.h"

namespace berth {

namespace {

constexpr absl::string_view kWhiteout = ".wh.";
constexpr absl::string_view kOpaque = ".wh..wh..opq";
constexpr absl::string_view kAufsMetadata = ".wh..wh.";
constexpr int64_t kBlock = 4096;
constexpr int kFileFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

int64_t Blocks(int64_t bytes) { return (bytes + kBlock - 1) / kBlock * kBlock; }

// The times that every file system keeps as they are; others it may cut.
std::optional<timespec> KeptTime(const timespec& time) {
  const bool kept = time.tv_sec >= std::numeric_limits<int32_t>::min() &&
                    time.tv_sec <= std::numeric_limits<int32_t>::max();
  return kept ? std::optional<timespec>(time) : std::nullopt;
}

TreeEntry RecordOf(TreeEntry::Type type, const TarEntry& entry, const std::string& path) {
  return {.type = type,
          .path = path,
          .link = type == TreeEntry::Type::kSymlink ? entry.link : "",
          .mode = entry.mode,
          .uid = entry.uid,
          .gid = entry.gid,
          .mtime = KeptTime(entry.mtime),
          .device_major = entry.device_major,
          .device_minor = entry.device_minor};
}

// New entries get the group of their directory where it hands it down.
bool NeedsOwner(const TarEntry& entry, const LayerDirectory& parent) {
  return entry.uid != 0 || entry.gid != 0 || !parent.plain;
}

}  // namespace

absl::Status Unpacker::Record(TreeEntry entry) {
  return tree_ == nullptr ? absl::OkStatus() : tree_->Add(entry);
}

absl::Status Unpacker::CountInode(absl::string_view path) {
  if (++stats_.inodes <= limits_.inodes) return absl::OkStatus();
  return TooMuch(path, absl::StrCat("more than ", limits_.inodes, " files in a layer"));
}

absl::Status Unpacker::Prepare() {
  if (std::exchange(prepared_, true)) return absl::OkStatus();
  RETURN_IF_ERROR(directories_.Prepare());
  directories_.root().record = TreeEntry{.type = TreeEntry::Type::kDirectory, .mode = 0755};
  return absl::OkStatus();
}

absl::Status Unpacker::MakeImpliedDir(int parent, const std::string& name,
                                      const std::string& path) {
  struct stat st;
  const bool exists = ::fstatat(parent, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
  const bool whiteout = exists && IsWhiteoutNode(st);
  if (exists && !whiteout) return RefuseEntry(path, "an entry that is no directory is in the way");
  if (whiteout && ::unlinkat(parent, name.c_str(), 0) != 0) return EntryError("unlink", path);
  RETURN_IF_ERROR(CountInode(path));
  if (::mkdirat(parent, name.c_str(), 0755) != 0) return EntryError("mkdir", path);
  stats_.size_bytes += kBlock;
  needs_.directories.push_back(path);
  ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (::fchown(fd.get(), 0, 0) != 0) return EntryError("chown", path);
  if (::fchmod(fd.get(), 0755) != 0) return EntryError("chmod", path);
  return whiteout ? SetOpaque(fd.get(), path) : absl::OkStatus();
}

absl::StatusOr<Unpacker::Place> Unpacker::PlaceOf(
    const std::vector<absl::string_view>& components) {
  Place place{.name = std::string(components.back())};
  ASSIGN_OR_RETURN(
      place.parent,
      directories_.Enter(absl::MakeConstSpan(components).first(components.size() - 1),
                         [this](int parent, const std::string& name, const std::string& path) {
                           return MakeImpliedDir(parent, name, path);
                         }));
  const bool below_root = place.parent == &directories_.root();
  place.path = below_root ? place.name : absl::StrCat(place.parent->path, "/", place.name);
  if (place.path.size() > limits_.path.path_bytes)
    return TooMuch(place.path, "the path is too long");
  return place;
}

absl::Status Unpacker::Begin(const TarEntry& entry) {
  RETURN_IF_ERROR(Prepare());
  if (++entries_ > limits_.entries)
    return TooMuch(entry.path, absl::StrCat("more than ", limits_.entries, " entries in a layer"));
  if (entry.size > limits_.bytes - bytes_)
    return TooMuch(entry.path, absl::StrCat("more than ", limits_.bytes, " bytes in a layer"));
  bytes_ += entry.size;
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
  ASSIGN_OR_RETURN(const Place place, PlaceOf(components));
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
  directories_.SetIrregular();
  link_parent_.reset();
  return RemoveTreeAt(place.fd(), place.name);
}

absl::Status Unpacker::Whiteout(const Place& place, absl::string_view hidden) {
  if (hidden.empty() || hidden == "." || hidden == "..")
    return RefuseEntry(place.path, "a whiteout of nothing");
  ++whiteouts_;
  const std::string name(hidden);
  const bool below_root = place.parent == &directories_.root();
  const std::string path = below_root ? name : absl::StrCat(place.parent->path, "/", name);
  RETURN_IF_ERROR(CountInode(place.path));
  if (::mknodat(place.fd(), name.c_str(), S_IFCHR, makedev(0, 0)) == 0)
    return Record({.type = TreeEntry::Type::kWhiteout, .path = path});
  if (errno != EEXIST) return EntryError("mknod", place.path);
  --stats_.inodes;
  // A whiteout is about the layers below; what this layer itself holds under the name stays, and
  // hides them.
  struct stat st;
  if (::fstatat(place.fd(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
    return EntryError("stat", place.path);
  if (!S_ISDIR(st.st_mode)) return absl::OkStatus();
  directories_.SetIrregular();
  ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(place.fd(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return SetOpaque(fd.get(), place.path);
}

absl::Status Unpacker::MakeOpaque(const Place& place) {
  if (place.parent == &directories_.root()) opaque_root_ = true;
  if (place.parent->record.has_value()) {
    place.parent->record->xattrs[kOpaqueXattr] = "y";
  } else {
    directories_.SetIrregular();
  }
  return SetOpaque(place.fd(), place.path);
}

absl::Status Unpacker::SetDirectory(int fd, const TarEntry& entry, const std::string& path) {
  if (::fchown(fd, entry.uid, entry.gid) != 0) return EntryError("chown", path);
  if (::fchmod(fd, entry.mode) != 0) return EntryError("chmod", path);
  return SetXattrs(fd, entry.xattrs, path).status();
}

absl::Status Unpacker::SetRoot(const TarEntry& entry) {
  if (entry.type != TarEntry::Type::kDirectory)
    return RefuseEntry(entry.path, "the root of the layer is no directory");
  LayerDirectory& root = directories_.root();
  if (root.mtime.has_value()) directories_.SetIrregular();  // attributes of both are there
  const int fd = root.fd.get();
  RETURN_IF_ERROR(SetDirectory(fd, entry, "."));
  root.mtime = entry.mtime;
  root.changed = true;
  root.plain = entry.gid == 0 && (entry.mode & S_ISGID) == 0;
  TreeEntry record = RecordOf(TreeEntry::Type::kDirectory, entry, "");
  if (opaque_root_) record.xattrs[kOpaqueXattr] = "y";
  for (const auto& [name, value] : entry.xattrs) {
    if (IsKeptXattr(name)) directories_.SetIrregular();
  }
  root.record = std::move(record);
  return absl::OkStatus();
}

absl::Status Unpacker::MakeDirectory(const TarEntry& entry, const Place& place) {
  bool opaque = false;
  int made = ::mkdirat(place.fd(), place.name.c_str(), entry.mode & 01777);
  if (made != 0 && errno == EEXIST) {
    struct stat st;
    if (::fstatat(place.fd(), place.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
      return EntryError("stat", place.path);
    if (S_ISDIR(st.st_mode)) return ChangeDirectory(entry, place);
    opaque = IsWhiteoutNode(st);
    RETURN_IF_ERROR(ReplaceExisting(place));
    made = ::mkdirat(place.fd(), place.name.c_str(), entry.mode & 01777);
  }
  if (made != 0) return EntryError("mkdir", place.path);
  RETURN_IF_ERROR(CountInode(place.path));
  stats_.size_bytes += kBlock;
  if (NeedsOwner(entry, *place.parent) &&
      ::fchownat(place.fd(), place.name.c_str(), entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return EntryError("chown", place.path);
  }
  // A directory also inherits set-group-id itself.
  if (((entry.mode & 06000) != 0 || !place.parent->plain) &&
      ::fchmodat(place.fd(), place.name.c_str(), entry.mode, 0) != 0) {
    return EntryError("chmod", place.path);
  }
  LayerDirectory directory{.name = place.name,
                           .path = place.path,
                           .mtime = entry.mtime,
                           .plain = entry.gid == 0 && (entry.mode & S_ISGID) == 0,
                           .record = RecordOf(TreeEntry::Type::kDirectory, entry, place.path)};
  if (opaque || !entry.xattrs.empty()) {
    ASSIGN_OR_RETURN(directory.fd,
                     OpenFile(place.fd(), place.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    if (opaque) RETURN_IF_ERROR(SetOpaque(directory.fd.get(), place.path));
    ASSIGN_OR_RETURN(directory.record->xattrs,
                     SetXattrs(directory.fd.get(), entry.xattrs, place.path));
    if (opaque) directory.record->xattrs[kOpaqueXattr] = "y";
  }
  directories_.Add(std::move(directory));
  return absl::OkStatus();
}

// A directory that is there already, because of its content or of an earlier entry.
absl::Status Unpacker::ChangeDirectory(const TarEntry& entry, const Place& place) {
  directories_.SetIrregular();
  std::erase(needs_.directories, place.path);
  LayerDirectory directory{.name = place.name,
                           .path = place.path,
                           .mtime = entry.mtime,
                           .plain = entry.gid == 0 && (entry.mode & S_ISGID) == 0};
  ASSIGN_OR_RETURN(directory.fd,
                   OpenFile(place.fd(), place.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  RETURN_IF_ERROR(SetDirectory(directory.fd.get(), entry, place.path));
  directories_.Add(std::move(directory));
  return absl::OkStatus();
}

absl::Status Unpacker::OpenNew(const TarEntry& entry, const Place& place) {
  RETURN_IF_ERROR(CountInode(place.path));
  const mode_t mode = entry.mode & 0777;
  file_.reset(::openat(place.fd(), place.name.c_str(), kFileFlags, mode));
  if (!file_.valid() && errno == EEXIST) {
    RETURN_IF_ERROR(ReplaceExisting(place));
    file_.reset(::openat(place.fd(), place.name.c_str(), kFileFlags, mode));
  }
  return file_.valid() ? absl::OkStatus() : EntryError("create", place.path);
}

absl::Status Unpacker::BeginFile(const TarEntry& entry, const Place& place) {
  RETURN_IF_ERROR(OpenNew(entry, place));
  file_record_ = RecordOf(TreeEntry::Type::kRegular, entry, place.path);
  file_record_.size = entry.size;
  file_bytes_ = file_at_ = 0;
  ends_in_hole_ = false;
  if (NeedsOwner(entry, *place.parent) && ::fchown(file_.get(), entry.uid, entry.gid) != 0)
    return EntryError("chown", place.path);
  // What writing and chown(2) take away again, and so has to wait: set-id bits and capabilities.
  file_late_ = (entry.mode & 07000) != 0 || !entry.xattrs.empty();
  file_mtime_ = entry.mtime;
  file_xattrs_ = entry.xattrs;
  return absl::OkStatus();
}

absl::Status Unpacker::Data(absl::string_view bytes) {
  if (!file_.valid()) return absl::OkStatus();  // the content of a whiteout means nothing
  if (tree_ != nullptr) {
    const bool whole = file_at_ == 0 && static_cast<int64_t>(bytes.size()) == file_record_.size;
    if (whole) {
      file_record_.sum = SumOf(bytes);
    } else {
      if (file_at_ == 0) hasher_.Restart();
      hasher_.Update(bytes);
    }
    summed_whole_ = whole;
  }
  file_at_ += static_cast<int64_t>(bytes.size());
  file_bytes_ += static_cast<int64_t>(bytes.size());
  ends_in_hole_ = false;
  while (!bytes.empty()) {
    const ssize_t n = ::write(file_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return EntryError("write", file_record_.path);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status Unpacker::Hole(int64_t bytes) {
  if (!file_.valid()) return absl::OkStatus();
  if (tree_ != nullptr) {
    if (file_at_ == 0) hasher_.Restart();
    hasher_.UpdateZeros(bytes);
    summed_whole_ = false;
  }
  file_at_ += bytes;
  ends_in_hole_ = true;
  if (::lseek(file_.get(), bytes, SEEK_CUR) < 0) return EntryError("lseek", file_record_.path);
  return absl::OkStatus();
}

absl::Status Unpacker::End() {
  if (!file_.valid()) return absl::OkStatus();
  const std::string& path = file_record_.path;
  if (ends_in_hole_ && ::ftruncate(file_.get(), file_at_) != 0) return EntryError("truncate", path);
  if (file_late_) {
    if ((file_record_.mode & 07000) != 0 && ::fchmod(file_.get(), file_record_.mode) != 0)
      return EntryError("chmod", path);
    ASSIGN_OR_RETURN(file_record_.xattrs, SetXattrs(file_.get(), file_xattrs_, path));
  }
  const timespec times[2] = {file_mtime_, file_mtime_};
  if (::futimens(file_.get(), times) != 0) return EntryError("utimens", path);
  file_.reset();
  stats_.size_bytes += Blocks(file_bytes_);
  if (tree_ == nullptr) return absl::OkStatus();
  if (file_at_ == 0) {
    file_record_.sum = SumOf("");
  } else if (!summed_whole_) {
    file_record_.sum = hasher_.Sum();
  }
  return tree_->Add(file_record_);
}

absl::Status Unpacker::MakeSymlink(const TarEntry& entry, const Place& place) {
  if (entry.link.empty()) return RefuseEntry(place.path, "a symbolic link to nothing");
  RETURN_IF_ERROR(CountInode(place.path));
  int made = ::symlinkat(entry.link.c_str(), place.fd(), place.name.c_str());
  if (made != 0 && errno == EEXIST) {
    RETURN_IF_ERROR(ReplaceExisting(place));
    made = ::symlinkat(entry.link.c_str(), place.fd(), place.name.c_str());
  }
  if (made != 0) return EntryError("symlink", place.path);
  RETURN_IF_ERROR(SetNode(entry, place));
  return Record(RecordOf(TreeEntry::Type::kSymlink, entry, place.path));
}

absl::Status Unpacker::MakeNode(const TarEntry& entry, const Place& place) {
  struct Kind {
    TarEntry::Type type;
    mode_t mode;
    TreeEntry::Type record;
  };
  constexpr std::array kKinds = {
      Kind{TarEntry::Type::kFifo, S_IFIFO, TreeEntry::Type::kFifo},
      Kind{TarEntry::Type::kCharDevice, S_IFCHR, TreeEntry::Type::kCharDevice},
      Kind{TarEntry::Type::kBlockDevice, S_IFBLK, TreeEntry::Type::kBlockDevice}};
  const Kind& kind = *std::find_if(kKinds.begin(), kKinds.end(),
                                   [&](const Kind& one) { return one.type == entry.type; });
  const dev_t device = makedev(entry.device_major, entry.device_minor);
  if (kind.mode == S_IFCHR && device == makedev(0, 0)) {
    return RefuseEntry(place.path, "character device 0:0 is overlayfs's own whiteout");
  }
  RETURN_IF_ERROR(CountInode(place.path));
  int made = ::mknodat(place.fd(), place.name.c_str(), kind.mode | entry.mode, device);
  if (made != 0 && errno == EEXIST) {
    RETURN_IF_ERROR(ReplaceExisting(place));
    made = ::mknodat(place.fd(), place.name.c_str(), kind.mode | entry.mode, device);
  }
  if (made != 0) return EntryError("mknod", place.path);
  RETURN_IF_ERROR(SetNode(entry, place));
  return Record(RecordOf(kind.record, entry, place.path));
}

// Owner and time of what has no file descriptor of its own.
absl::Status Unpacker::SetNode(const TarEntry& entry, const Place& place) {
  constexpr int kFlags = AT_SYMLINK_NOFOLLOW;
  const char* const name = place.name.c_str();
  if (NeedsOwner(entry, *place.parent)) {
    if (::fchownat(place.fd(), name, entry.uid, entry.gid, kFlags) != 0)
      return EntryError("chown", place.path);
    // chown(2) clears the set-id bits.
    const bool again = (entry.mode & 06000) != 0 && entry.type != TarEntry::Type::kSymlink;
    if (again && ::fchmodat(place.fd(), name, entry.mode, 0) != 0)
      return EntryError("chmod", place.path);
  }
  const timespec times[2] = {entry.mtime, entry.mtime};
  if (::utimensat(place.fd(), name, times, kFlags) != 0) return EntryError("utimens", place.path);
  return absl::OkStatus();
}

absl::StatusOr<UnpackStats> Unpacker::Finish() {
  RETURN_IF_ERROR(Prepare());
  RETURN_IF_ERROR(directories_.Finish());
  return stats_;
}

}  // namespace berth
