#include "src/copy/tree_extractor.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

constexpr size_t kMaxPathBytes = 4096, kMaxNameBytes = 255, kMaxDepth = 1024;
constexpr char kCapability[] = "security.capability";
constexpr mode_t kImpliedMode = 0755;

std::string Shown(absl::string_view path) { return EscapeForLog(path.substr(0, 512)); }

absl::Status Refused(absl::string_view path, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("copy ", Shown(path), ": ", why));
}

absl::Status Failed(absl::string_view call, absl::string_view path, int error = errno) {
  const absl::Status status = ErrnoStatus(call, Shown(path), error);
  const bool conflict = error == EROFS || error == ENOTDIR || error == EISDIR || error == EXDEV ||
                        error == ENOTEMPTY || error == ELOOP;
  return conflict ? absl::FailedPreconditionError(status.message()) : status;
}

absl::Status CheckSizes(absl::string_view path, const std::vector<std::string>& components) {
  const bool names_fit =
      std::all_of(components.begin(), components.end(),
                  [](const std::string& name) { return name.size() <= kMaxNameBytes; });
  if (names_fit && path.size() <= kMaxPathBytes && components.size() <= kMaxDepth)
    return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("copy ", Shown(path), ": the name is too long or nested too deep"));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> TreeExtractor::NameOf(absl::string_view path) const {
  std::vector<std::string> components;
  size_t strip = options_.strip;
  for (const absl::string_view component : absl::StrSplit(path, '/')) {
    if (component.empty() || component == ".") continue;
    if (component == "..") return Refused(path, "the name leads out of the destination");
    if (strip > 0) {
      --strip;
    } else {
      components.emplace_back(component);
    }
  }
  if (!options_.prefix.empty()) components.insert(components.begin(), options_.prefix);
  RETURN_IF_ERROR(CheckSizes(path, components));
  return components;
}

// Links on the way count as long as they stay below the base.
absl::StatusOr<UniqueFd> TreeExtractor::OpenBelow(const std::string& path) const {
  struct open_how how = {};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_NO_MAGICLINKS | (options_.base_is_root ? RESOLVE_IN_ROOT : RESOLVE_BENEATH);
  const char* const name = path.empty() ? "." : path.c_str();
  UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, base_, name, &how, sizeof(how))));
  for (int tries = 0; !fd.valid() && errno == EAGAIN && tries < 100; ++tries)  // a rename meanwhile
    fd.reset(static_cast<int>(::syscall(SYS_openat2, base_, name, &how, sizeof(how))));
  if (fd.valid()) return fd;
  if (errno == EXDEV) return Refused(path, "a symbolic link leads out of the destination");
  return Failed("open directory", path);
}

absl::StatusOr<int> TreeExtractor::OpenParent(const std::string& path) {
  if (parent_.valid() && parent_path_ == path) return parent_.get();
  ASSIGN_OR_RETURN(parent_, OpenBelow(path));
  parent_path_ = path;
  return parent_.get();
}

// An archive may leave out the directories that its entries are in.
absl::Status TreeExtractor::MakeParents(const std::vector<std::string>& components) {
  std::string path;
  for (size_t i = 0; i + 1 < components.size(); ++i) {
    ASSIGN_OR_RETURN(const UniqueFd at, OpenBelow(path));
    absl::StrAppend(&path, i == 0 ? "" : "/", components[i]);
    if (::mkdirat(at.get(), components[i].c_str(), kImpliedMode) != 0) {
      if (errno == EEXIST) continue;
      return Failed("mkdir", path);
    }
    if (options_.owner.has_value() &&
        ::fchownat(at.get(), components[i].c_str(), options_.owner->uid, options_.owner->gid,
                   AT_SYMLINK_NOFOLLOW) != 0) {
      return Failed("chown", path);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<TreeExtractor::Place> TreeExtractor::PlaceOf(
    const std::vector<std::string>& components) {
  const std::string parent = absl::StrJoin(components.begin(), components.end() - 1, "/");
  absl::StatusOr<int> fd = OpenParent(parent);
  if (absl::IsNotFound(fd.status())) {
    RETURN_IF_ERROR(MakeParents(components));
    fd = OpenParent(parent);
  }
  RETURN_IF_ERROR(fd.status());
  return Place{.parent = *fd, .name = components.back(), .path = absl::StrJoin(components, "/")};
}

mode_t TreeExtractor::ModeOf(const TarEntry& entry) const {
  return entry.mode & (options_.set_ids ? 07777 : 01777);
}

absl::Status TreeExtractor::Begin(const TarEntry& entry) {
  if (++result_.entries > options_.max_entries) {
    return absl::ResourceExhaustedError(
        absl::StrCat("copy ", Shown(entry.path), ": more than ", options_.max_entries, " files"));
  }
  if (entry.size > options_.max_bytes - result_.bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("copy ", Shown(entry.path), ": more than ", options_.max_bytes, " bytes"));
  }
  result_.bytes += entry.size;
  ASSIGN_OR_RETURN(const std::vector<std::string> components, NameOf(entry.path));
  if (components.empty()) {
    if (entry.type == TarEntry::Type::kDirectory) return absl::OkStatus();
    return Refused(entry.path, "a file without a name");
  }
  ASSIGN_OR_RETURN(const Place place, PlaceOf(components));
  return BeginAt(entry, place);
}

absl::Status TreeExtractor::BeginAt(const TarEntry& entry, const Place& place) {
  switch (entry.type) {
    case TarEntry::Type::kRegular:
      return BeginFile(entry, place);
    case TarEntry::Type::kDirectory:
      return MakeDirectory(entry, place);
    case TarEntry::Type::kHardLink:
      return MakeHardLink(entry, place);
    case TarEntry::Type::kSymlink:
    case TarEntry::Type::kFifo:
      return MakeNode(entry, place);
    case TarEntry::Type::kCharDevice:
    case TarEntry::Type::kBlockDevice:
      if (++result_.skipped_devices == 1) result_.first_skipped = place.path;
      return absl::OkStatus();
  }
  return absl::InternalError("copy: unknown entry type");
}

// No directory makes way for something else.
absl::Status TreeExtractor::RemoveOld(const Place& place) const {
  if (::unlinkat(place.parent, place.name.c_str(), 0) == 0 || errno == ENOENT)
    return absl::OkStatus();
  if (errno == EISDIR)
    return absl::FailedPreconditionError(
        absl::StrCat("copy ", Shown(place.path), ": a directory is in the way"));
  return Failed("replace", place.path);
}

absl::Status TreeExtractor::BeginFile(const TarEntry& entry, const Place& place) {
  constexpr int kNew = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  file_entry_ = entry;
  file_path_ = place.path;
  file_at_ = 0;
  ends_in_hole_ = in_place_ = false;
  file_.reset(::openat(place.parent, place.name.c_str(), kNew, 0600));
  if (file_.valid()) return absl::OkStatus();
  if (errno != EEXIST) return Failed("create", place.path);
  const int unlinked = ::unlinkat(place.parent, place.name.c_str(), 0);
  if (unlinked != 0 && errno == EBUSY) {  // something is mounted there
    file_.reset(::openat(place.parent, place.name.c_str(),
                         O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    struct stat st;
    if (!file_.valid()) return Failed("open", place.path);
    if (::fstat(file_.get(), &st) != 0) return Failed("stat", place.path);
    if (!S_ISREG(st.st_mode)) {
      file_.reset();
      return Refused(place.path, "something that is no file is mounted there");
    }
    in_place_ = true;
    return ::ftruncate(file_.get(), 0) == 0 ? absl::OkStatus() : Failed("truncate", place.path);
  }
  if (unlinked != 0) RETURN_IF_ERROR(RemoveOld(place));
  file_.reset(::openat(place.parent, place.name.c_str(), kNew, 0600));
  return file_.valid() ? absl::OkStatus() : Failed("create", place.path);
}

absl::Status TreeExtractor::Data(absl::string_view bytes) {
  if (!file_.valid()) return absl::OkStatus();
  file_at_ += static_cast<int64_t>(bytes.size());
  ends_in_hole_ = false;
  while (!bytes.empty()) {
    const ssize_t n = ::write(file_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Failed("write", file_path_);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status TreeExtractor::Hole(int64_t bytes) {
  if (!file_.valid()) return absl::OkStatus();
  file_at_ += bytes;
  ends_in_hole_ = true;
  return ::lseek(file_.get(), bytes, SEEK_CUR) >= 0 ? absl::OkStatus() : Failed("seek", file_path_);
}

absl::Status TreeExtractor::End() {
  if (!file_.valid()) return absl::OkStatus();
  if (ends_in_hole_ && ::ftruncate(file_.get(), file_at_) != 0)
    return Failed("truncate", file_path_);
  if (!in_place_) RETURN_IF_ERROR(SetFile());
  file_.reset();
  return absl::OkStatus();
}

absl::Status TreeExtractor::SetFile() {
  const uid_t uid = options_.owner.has_value() ? options_.owner->uid : file_entry_.uid;
  const gid_t gid = options_.owner.has_value() ? options_.owner->gid : file_entry_.gid;
  if (::fchown(file_.get(), uid, gid) != 0) return Failed("chown", file_path_);
  if (::fchmod(file_.get(), ModeOf(file_entry_)) != 0) return Failed("chmod", file_path_);
  const auto capability = file_entry_.xattrs.find(kCapability);
  if (options_.set_ids && capability != file_entry_.xattrs.end() &&
      ::fsetxattr(file_.get(), kCapability, capability->second.data(), capability->second.size(),
                  0) != 0) {
    return Failed("setxattr security.capability of", file_path_);
  }
  const timespec times[2] = {file_entry_.mtime, file_entry_.mtime};
  return ::futimens(file_.get(), times) == 0 ? absl::OkStatus() : Failed("utimens", file_path_);
}

absl::Status TreeExtractor::MakeDirectory(const TarEntry& entry, const Place& place) {
  // What only the end of the copy sets keeps nobody from writing below it.
  if (::mkdirat(place.parent, place.name.c_str(), 0700) != 0) {
    struct stat st;
    if (errno != EEXIST) return Failed("mkdir", place.path);
    if (::fstatat(place.parent, place.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
      return Failed("stat", place.path);
    // As tar --keep-directory-symlink: /lib may be a link to usr/lib.
    if (S_ISLNK(st.st_mode) && OpenBelow(place.path).ok()) return absl::OkStatus();
    if (!S_ISDIR(st.st_mode)) {
      return absl::FailedPreconditionError(absl::StrCat(
          "copy ", Shown(place.path), ": something that is no directory is in the way"));
    }
  }
  const uid_t uid = options_.owner.has_value() ? options_.owner->uid : entry.uid;
  const gid_t gid = options_.owner.has_value() ? options_.owner->gid : entry.gid;
  if (::fchownat(place.parent, place.name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
    return Failed("chown", place.path);
  directories_.push_back({.path = place.path, .mode = ModeOf(entry), .mtime = entry.mtime});
  return absl::OkStatus();
}

absl::Status TreeExtractor::MakeNode(const TarEntry& entry, const Place& place) {
  RETURN_IF_ERROR(RemoveOld(place));
  const bool link = entry.type == TarEntry::Type::kSymlink;
  const char* const name = place.name.c_str();
  const int made = link ? ::symlinkat(entry.link.c_str(), place.parent, name)
                        : ::mkfifoat(place.parent, name, ModeOf(entry) & 0777);
  if (made != 0) return Failed(link ? "symlink" : "mkfifo", place.path);
  const uid_t uid = options_.owner.has_value() ? options_.owner->uid : entry.uid;
  const gid_t gid = options_.owner.has_value() ? options_.owner->gid : entry.gid;
  if (::fchownat(place.parent, name, uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
    return Failed("chown", place.path);
  const timespec times[2] = {entry.mtime, entry.mtime};
  return ::utimensat(place.parent, name, times, AT_SYMLINK_NOFOLLOW) == 0
             ? absl::OkStatus()
             : Failed("utimens", place.path);
}

absl::Status TreeExtractor::MakeHardLink(const TarEntry& entry, const Place& place) {
  ASSIGN_OR_RETURN(const std::vector<std::string> target, NameOf(entry.link));
  if (target.empty()) return Refused(entry.path, "a hard link to the destination itself");
  ASSIGN_OR_RETURN(const UniqueFd directory,
                   OpenBelow(absl::StrJoin(target.begin(), target.end() - 1, "/")));
  RETURN_IF_ERROR(RemoveOld(place));
  if (::linkat(directory.get(), target.back().c_str(), place.parent, place.name.c_str(), 0) == 0)
    return absl::OkStatus();
  return Failed(absl::StrCat("link ", Shown(entry.link), " as"), place.path);
}

absl::StatusOr<ExtractResult> TreeExtractor::Finish() {
  for (auto directory = directories_.rbegin(); directory != directories_.rend(); ++directory) {
    // It may be gone, or something else by now, with somebody at work in there.
    const absl::StatusOr<UniqueFd> fd = OpenBelow(directory->path);
    if (!fd.ok()) continue;
    const timespec times[2] = {directory->mtime, directory->mtime};
    if (::fchmodat(fd->get(), ".", directory->mode, 0) != 0)
      return Failed("chmod", directory->path);
    if (::utimensat(fd->get(), ".", times, 0) != 0) return Failed("utimens", directory->path);
  }
  return result_;
}

}  // namespace berth
