#include "src/copy/tree_archiver.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include "absl/strings/str_cat.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

constexpr size_t kReadBytes = 128 << 10;
constexpr size_t kMaxLinkedFiles = 1 << 20;  // beyond that, each name gets a copy
constexpr char kCapability[] = "security.capability";
constexpr size_t kMaxCapabilityBytes = 64;

struct CloseDir {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

absl::Status Failed(absl::string_view call, absl::string_view name, int error = errno) {
  return ErrnoStatus(call, EscapeForLog(name.substr(0, 512)), error);
}

// A descriptor to read through, of exactly this file.
absl::StatusOr<UniqueFd> Reopen(int node, int flags, absl::string_view name) {
  UniqueFd fd(::open(absl::StrCat("/proc/self/fd/", node).c_str(),
                     flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (!fd.valid()) return Failed("open", name);
  return fd;
}

// Their files are no content, and some cannot be read at all.
constexpr std::array<long, 4> kKernelViews = {PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP_SUPER_MAGIC,
                                              CGROUP2_SUPER_MAGIC};

bool IsKernelView(int directory) {
  struct statfs info;
  return ::fstatfs(directory, &info) == 0 &&
         std::find(kKernelViews.begin(), kKernelViews.end(), info.f_type) != kKernelViews.end();
}

struct Kind {
  mode_t mode;
  TarEntry::Type type;
};
constexpr std::array kKinds = {
    Kind{S_IFREG, TarEntry::Type::kRegular},     Kind{S_IFDIR, TarEntry::Type::kDirectory},
    Kind{S_IFLNK, TarEntry::Type::kSymlink},     Kind{S_IFCHR, TarEntry::Type::kCharDevice},
    Kind{S_IFBLK, TarEntry::Type::kBlockDevice}, Kind{S_IFIFO, TarEntry::Type::kFifo}};

TarEntry EntryOf(const struct stat& st, const std::string& name, TarEntry::Type type) {
  const bool device = S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode);
  return {.type = type,
          .path = name,
          .mode = st.st_mode & 07777u,
          .uid = st.st_uid,
          .gid = st.st_gid,
          .size = type == TarEntry::Type::kRegular ? st.st_size : 0,
          .mtime = st.st_mtim,
          .device_major = device ? major(st.st_rdev) : 0,
          .device_minor = device ? minor(st.st_rdev) : 0};
}

absl::StatusOr<std::string> ReadLink(int node, absl::string_view name) {
  std::string target(PATH_MAX, '\0');
  const ssize_t n = ::readlinkat(node, "", target.data(), target.size());
  if (n < 0) return Failed("readlink", name);
  target.resize(static_cast<size_t>(n));
  return target;
}

}  // namespace

absl::Status TreeArchiver::Add(UniqueFd node, const std::string& name) {
  struct stat st;
  if (::fstat(node.get(), &st) != 0) return Failed("stat", name);
  return AddNode(std::move(node), st, name, 0);
}

absl::Status TreeArchiver::AddNode(UniqueFd node, const struct stat& st, const std::string& name,
                                   size_t depth) {
  const auto kind = std::find_if(kKinds.begin(), kKinds.end(), [&](const Kind& one) {
    return one.mode == (st.st_mode & S_IFMT);
  });
  if (kind == kKinds.end()) return absl::OkStatus();  // a socket
  if (++entries_ > limits_.entries) {
    return absl::ResourceExhaustedError(
        absl::StrCat("copy ", name, ": more than ", limits_.entries, " files"));
  }
  if (kind->type == TarEntry::Type::kDirectory)
    return AddDirectory(std::move(node), st, name, depth);
  TarEntry entry = EntryOf(st, name, kind->type);
  bool known = false;
  RETURN_IF_ERROR(AddLinkToKnown(st, entry, &known));
  if (known) return absl::OkStatus();
  if (kind->type == TarEntry::Type::kRegular) return AddFile(node, std::move(entry));
  if (kind->type == TarEntry::Type::kSymlink) {
    ASSIGN_OR_RETURN(entry.link, ReadLink(node.get(), name));
  }
  RETURN_IF_ERROR(out_.Begin(entry));
  return out_.End();
}

absl::Status TreeArchiver::AddLinkToKnown(const struct stat& st, TarEntry& entry, bool* known) {
  if (st.st_nlink < 2 || linked_.size() >= kMaxLinkedFiles) return absl::OkStatus();
  const auto [first, added] = linked_.emplace(std::pair(st.st_dev, st.st_ino), entry.path);
  if (added) return absl::OkStatus();
  *known = true;
  entry.type = TarEntry::Type::kHardLink;
  entry.link = first->second;
  entry.size = 0;
  RETURN_IF_ERROR(out_.Begin(entry));
  return out_.End();
}

absl::Status TreeArchiver::AddFile(const UniqueFd& node, TarEntry entry) {
  ASSIGN_OR_RETURN(const UniqueFd file, Reopen(node.get(), O_RDONLY, entry.path));
  std::array<char, kMaxCapabilityBytes> capability;
  const ssize_t length = ::fgetxattr(file.get(), kCapability, capability.data(), capability.size());
  if (length > 0)
    entry.xattrs[kCapability] = std::string(capability.data(), static_cast<size_t>(length));
  RETURN_IF_ERROR(out_.Begin(entry));
  const auto buffer = std::make_unique<std::array<char, kReadBytes>>();
  for (int64_t left = entry.size; left > 0;) {
    const size_t wanted = std::min<size_t>(kReadBytes, static_cast<size_t>(left));
    const ssize_t n = ::read(file.get(), buffer->data(), wanted);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Failed("read", entry.path);
    if (n == 0) {
      return absl::AbortedError(
          absl::StrCat("read ", EscapeForLog(entry.path), ": it became shorter meanwhile"));
    }
    RETURN_IF_ERROR(out_.Data({buffer->data(), static_cast<size_t>(n)}));
    left -= n;
  }
  return out_.End();
}

absl::Status TreeArchiver::AddDirectory(UniqueFd node, const struct stat& st,
                                        const std::string& name, size_t depth) {
  if (depth > limits_.depth) {
    return absl::ResourceExhaustedError(absl::StrCat("copy ", EscapeForLog(name.substr(0, 512)),
                                                     ": directories are nested deeper "
                                                     "than ",
                                                     limits_.depth, " levels"));
  }
  RETURN_IF_ERROR(out_.Begin(EntryOf(st, name, TarEntry::Type::kDirectory)));
  RETURN_IF_ERROR(out_.End());
  ASSIGN_OR_RETURN(UniqueFd fd, Reopen(node.get(), O_RDONLY | O_DIRECTORY, name));
  node.reset();
  if (depth > 0 && IsKernelView(fd.get())) return absl::OkStatus();
  return AddChildren(std::move(fd), name, depth);
}

absl::Status TreeArchiver::AddChildren(UniqueFd fd, const std::string& name, size_t depth) {
  const std::unique_ptr<DIR, CloseDir> directory(::fdopendir(fd.get()));
  if (directory == nullptr) return Failed("open", name);
  const int at = fd.release();
  while (true) {
    errno = 0;
    const dirent* const child = ::readdir(directory.get());
    if (child == nullptr) return errno == 0 ? absl::OkStatus() : Failed("read", name);
    const std::string child_name = child->d_name;
    if (child_name == "." || child_name == "..") continue;
    const std::string path = absl::StrCat(name, "/", child_name);
    UniqueFd child_node(::openat(at, child_name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!child_node.valid() && errno == ENOENT) continue;  // it has just gone
    struct stat child_stat;
    if (!child_node.valid()) return Failed("open", path);
    if (::fstat(child_node.get(), &child_stat) != 0) return Failed("stat", path);
    RETURN_IF_ERROR(AddNode(std::move(child_node), child_stat, path, depth + 1));
  }
}

}  // namespace berth
