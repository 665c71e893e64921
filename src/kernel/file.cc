#include "src/kernel/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

constexpr int kFirstAside = 1024;

absl::Status WriteAll(int fd, absl::string_view content, absl::string_view name) {
  while (!content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("write", name);
    content.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UniqueFd> OpenFile(int at, const std::string& path, int flags, mode_t mode) {
  UniqueFd fd(::openat(at, path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd.valid()) return ErrnoStatus("open", path);
  return fd;
}

absl::StatusOr<UniqueFd> OpenDir(int at, const std::string& path) {
  return OpenFile(at, path, O_RDONLY | O_DIRECTORY);
}

UniqueFd SetAside(UniqueFd fd) {
  if (fd.get() >= kFirstAside) return fd;
  UniqueFd aside(::fcntl(fd.get(), F_DUPFD_CLOEXEC, kFirstAside));
  return aside.valid() ? std::move(aside) : std::move(fd);
}

absl::Status MakeDirs(const std::string& path, mode_t mode) {
  int made = ::mkdir(path.c_str(), mode);
  if (made != 0 && errno == ENOENT) {
    for (size_t slash = path.find('/', 1); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
      const std::string parent = path.substr(0, slash);
      if (::mkdir(parent.c_str(), 0755) != 0 && errno != EEXIST)
        return ErrnoStatus("mkdir", parent);
    }
    made = ::mkdir(path.c_str(), mode);
  }
  if (made != 0) {
    if (errno != EEXIST) return ErrnoStatus("mkdir", path);
    return absl::OkStatus();
  }
  if (::chmod(path.c_str(), mode) != 0) return ErrnoStatus("chmod", path);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadFd(int fd, size_t max_bytes, absl::string_view name) {
  std::string content;
  char buffer[4096];
  while (true) {
    const ssize_t n = ::read(fd, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("read", name);
    if (n == 0) return content;
    content.append(buffer, static_cast<size_t>(n));
    if (content.size() > max_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("read ", name, ": longer than ", max_bytes, " bytes"));
    }
  }
}

absl::StatusOr<std::string> ReadFileAt(int at, const std::string& path, size_t max_bytes) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(at, path, O_RDONLY));
  return ReadFd(fd.get(), max_bytes, path);
}

absl::Status WriteFileAt(int at, const std::string& path, absl::string_view value) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(at, path, O_WRONLY));
  if (::write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size())) {
    return ErrnoStatus(absl::StrCat("write \"", value, "\" to"), path);
  }
  return absl::OkStatus();
}

absl::Status ReplaceFileAt(int at, const std::string& path, absl::string_view content,
                           mode_t mode) {
  const std::string temporary = path + ".tmp";
  ::unlinkat(at, temporary.c_str(), 0);
  ASSIGN_OR_RETURN(UniqueFd fd,
                   OpenFile(at, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
  if (::fchmod(fd.get(), mode) != 0) return ErrnoStatus("chmod", temporary);
  if (absl::Status written = WriteAll(fd.get(), content, temporary); !written.ok()) {
    ::unlinkat(at, temporary.c_str(), 0);
    return written;
  }
  if (::renameat(at, temporary.c_str(), at, path.c_str()) != 0)
    return ErrnoStatus("rename", temporary);
  return absl::OkStatus();
}

absl::Status OverwriteFileAt(int at, const std::string& path, absl::string_view content,
                             mode_t mode) {
  // Not O_TRUNC: what was truncated, be it empty, ext4 writes to the disk as soon as it is closed
  // (auto_da_alloc, ext4(5)).
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(at, path, O_WRONLY | O_CREAT | O_NOFOLLOW, mode));
  struct stat before;
  if (::fstat(fd.get(), &before) != 0) return ErrnoStatus("stat", path);
  if ((before.st_mode & 07777) != mode && ::fchmod(fd.get(), mode) != 0)
    return ErrnoStatus("chmod", path);
  RETURN_IF_ERROR(WriteAll(fd.get(), content, path));
  const auto size = static_cast<off_t>(content.size());
  if (before.st_size > size && ::ftruncate(fd.get(), size) != 0)
    return ErrnoStatus("truncate", path);
  return absl::OkStatus();
}

namespace {

// Of what is behind its position.
absl::Status ForEachEntry(int directory, const std::string& name,
                          absl::FunctionRef<void(const dirent64&)> each) {
  alignas(dirent64) char buffer[8192];
  while (true) {
    const ssize_t size = ::getdents64(directory, buffer, sizeof(buffer));
    if (size < 0 && errno != ENOENT) return ErrnoStatus("getdents", name);
    if (size <= 0) return absl::OkStatus();  // its end, or it was removed meanwhile
    for (ssize_t at = 0; at < size;) {
      const auto& entry = *reinterpret_cast<const dirent64*>(buffer + at);
      at += entry.d_reclen;
      const absl::string_view called = entry.d_name;
      if (called != "." && called != "..") each(entry);
    }
  }
}

bool IsDirectory(int at, const dirent64& entry) {
  if (entry.d_type != DT_UNKNOWN) return entry.d_type == DT_DIR;
  struct stat info;
  return ::fstatat(at, entry.d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ListDir(int at, const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd directory, OpenDir(at, path));
  std::vector<std::string> names;
  RETURN_IF_ERROR(ForEachEntry(directory.get(), path,
                               [&](const dirent64& entry) { names.emplace_back(entry.d_name); }));
  return names;
}

absl::StatusOr<std::vector<std::string>> ListSubdirectories(int at, const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd directory, OpenDir(at, path));
  std::vector<std::string> names;
  RETURN_IF_ERROR(ForEachEntry(directory.get(), path, [&](const dirent64& entry) {
    if (IsDirectory(directory.get(), entry)) names.emplace_back(entry.d_name);
  }));
  return names;
}

namespace {

// How deep a removal descends. What lies deeper is moved up first: whoever made the tree may have
// nested it as deep as the disk goes, and must not exhaust our stack or descriptors.
constexpr int kMaxDepth = 64;

// False if `name` is a directory that is not empty.
absl::StatusOr<bool> RemoveFileOrEmptyDir(int at, const std::string& name) {
  if (::unlinkat(at, name.c_str(), 0) == 0 || errno == ENOENT) return true;
  if (errno != EISDIR && errno != EPERM) return ErrnoStatus("unlink", name);
  if (::unlinkat(at, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return true;
  if (errno != ENOTEMPTY && errno != EEXIST) return ErrnoStatus("rmdir", name);
  return false;
}

class TreeRemover {
 public:
  TreeRemover(int top, absl::FunctionRef<bool()> go_on) : top_(top), go_on_(go_on) {}

  // Until nothing is left in the top directory.
  absl::Status Run() {
    uint64_t moved_before;
    do {
      moved_before = moved_;
      if (::lseek(top_, 0, SEEK_SET) != 0) return ErrnoStatus("lseek", "directory");
      RETURN_IF_ERROR(Empty(top_, 0));
    } while (moved_ != moved_before);
    return absl::OkStatus();
  }

 private:
  absl::Status Empty(int directory, int depth) {
    std::vector<std::string> children;
    RETURN_IF_ERROR(ForEachEntry(
        directory, ".", [&](const dirent64& entry) { children.emplace_back(entry.d_name); }));
    for (const std::string& child : children) {
      if (!go_on_()) return absl::CancelledError(absl::StrCat("remove ", child, ": cancelled"));
      ASSIGN_OR_RETURN(const bool removed, RemoveFileOrEmptyDir(directory, child));
      if (removed) continue;
      if (depth == kMaxDepth) {
        RETURN_IF_ERROR(MoveUp(directory, child));
        continue;
      }
      ASSIGN_OR_RETURN(const UniqueFd inner,
                       OpenFile(directory, child, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      RETURN_IF_ERROR(Empty(inner.get(), depth + 1));
      if (::unlinkat(directory, child.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
        return ErrnoStatus("rmdir", child);
    }
    return absl::OkStatus();
  }

  absl::Status MoveUp(int directory, const std::string& child) {
    while (true) {
      const std::string name = absl::StrCat(".deep-", ++moved_);
      if (::renameat2(directory, child.c_str(), top_, name.c_str(), RENAME_NOREPLACE) == 0)
        return absl::OkStatus();
      if (errno != EEXIST) return ErrnoStatus("rename", child);
    }
  }

  const int top_;
  const absl::FunctionRef<bool()> go_on_;
  uint64_t moved_ = 0;
};

}  // namespace

absl::Status RemoveTreeAt(int at, const std::string& name) {
  return RemoveTreeAt(at, name, [] { return true; });
}

absl::Status RemoveTreeAt(int at, const std::string& name, absl::FunctionRef<bool()> go_on) {
  ASSIGN_OR_RETURN(const bool removed, RemoveFileOrEmptyDir(at, name));
  if (removed) return absl::OkStatus();
  ASSIGN_OR_RETURN(const UniqueFd top, OpenFile(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  RETURN_IF_ERROR(TreeRemover(top.get(), go_on).Run());
  if (::unlinkat(at, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
    return ErrnoStatus("rmdir", name);
  return absl::OkStatus();
}

}  // namespace berth
