#include "src/image/pull/borrow.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"
#include "src/image/pull/layer_needs.h"
#include "src/image/pull/layer_path.h"
#include "src/image/pull/layer_xattr.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr size_t kPiece = 1 << 20;

absl::Status CopyRange(int from, int to, off_t at, off_t end, absl::string_view path) {
  std::string piece(kPiece, '\0');
  while (at < end) {
    const size_t wanted = static_cast<size_t>(std::min<off_t>(end - at, kPiece));
    const ssize_t n = ::pread(from, piece.data(), wanted, at);
    if (n < 0) return EntryError("read", path);
    if (n == 0) break;
    for (ssize_t done = 0; done < n;) {
      const ssize_t written =
          ::pwrite(to, piece.data() + done, static_cast<size_t>(n - done), at + done);
      if (written < 0) return EntryError("write", path);
      done += written;
    }
    at += n;
  }
  return absl::OkStatus();
}

// With its holes: only ranges that hold data (lseek(2), SEEK_DATA).
absl::Status CopyContent(int from, int to, off_t size, absl::string_view path) {
  for (off_t at = 0; at < size;) {
    const off_t data = ::lseek(from, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // holes only
    if (data < 0) return EntryError("lseek", path);
    const off_t hole = ::lseek(from, data, SEEK_HOLE);
    if (hole < 0) return EntryError("lseek", path);
    RETURN_IF_ERROR(CopyRange(from, to, data, hole, path));
    at = hole;
  }
  return ::ftruncate(to, size) == 0 ? absl::OkStatus() : EntryError("truncate", path);
}

absl::Status FillFile(int to, const LayerEntry& below, const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd from,
                   OpenFile(below.parent.get(), below.name, O_RDONLY | O_NOFOLLOW));
  RETURN_IF_ERROR(CopyContent(from.get(), to, below.st.st_size, path));
  if (::fchown(to, below.st.st_uid, below.st.st_gid) != 0) return EntryError("chown", path);
  if (::fchmod(to, below.st.st_mode & 07777) != 0) return EntryError("chmod", path);
  RETURN_IF_ERROR(CopyXattrs(from.get(), to, path));
  if (::fremovexattr(to, kBorrowedXattr) != 0) return EntryError("removexattr", path);
  const timespec times[2] = {below.st.st_mtim, below.st.st_mtim};
  return ::futimens(to, times) == 0 ? absl::OkStatus() : EntryError("utimens", path);
}

absl::Status BecomeSymlink(const BorrowedName& borrowed, const LayerEntry& below,
                           const std::string& path) {
  char link[PATH_MAX];
  const ssize_t n = ::readlinkat(below.parent.get(), below.name.c_str(), link, sizeof(link) - 1);
  if (n < 0) return EntryError("readlink", path);
  link[n] = '\0';
  const char* const name = borrowed.name.c_str();
  if (::unlinkat(borrowed.parent, name, 0) != 0) return EntryError("unlink", path);
  if (::symlinkat(link, borrowed.parent, name) != 0) return EntryError("symlink", path);
  constexpr int kFlags = AT_SYMLINK_NOFOLLOW;
  if (::fchownat(borrowed.parent, name, below.st.st_uid, below.st.st_gid, kFlags) != 0)
    return EntryError("chown", path);
  const timespec times[2] = {below.st.st_mtim, below.st.st_mtim};
  return ::utimensat(borrowed.parent, name, times, kFlags) == 0 ? absl::OkStatus()
                                                                : EntryError("utimens", path);
}

}  // namespace

bool IsBorrowed(const BorrowedName& borrowed) {
  struct stat st;
  if (::fstatat(borrowed.parent, borrowed.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0 ||
      !S_ISREG(st.st_mode) || st.st_size != 0) {
    return false;
  }
  const absl::StatusOr<UniqueFd> file =
      OpenFile(borrowed.parent, borrowed.name, O_RDONLY | O_NOFOLLOW);
  return file.ok() && ::fgetxattr(file->get(), kBorrowedXattr, nullptr, 0) >= 0;
}

absl::Status FillBorrowed(const BorrowedName& borrowed, const LayerEntry& below,
                          const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd file,
                   OpenFile(borrowed.parent, borrowed.name, O_WRONLY | O_NOFOLLOW));
  if (S_ISREG(below.st.st_mode)) return FillFile(file.get(), below, path);
  struct stat st;
  if (::fstat(file.get(), &st) != 0) return EntryError("stat", path);
  if (S_ISLNK(below.st.st_mode) && st.st_nlink == 1) return BecomeSymlink(borrowed, below, path);
  return RefuseEntry(path, "a hard link to a special file of a lower layer");
}

absl::Status CopyXattrs(int from, int to, absl::string_view path) {
  std::string names(XATTR_LIST_MAX, '\0');
  const ssize_t n = ::flistxattr(from, names.data(), names.size());
  if (n < 0 && errno == EOPNOTSUPP) return absl::OkStatus();
  if (n < 0) return EntryError("listxattr", path);
  names.resize(static_cast<size_t>(n));
  for (const std::string& name :
       std::vector<std::string>(absl::StrSplit(names, '\0', absl::SkipEmpty()))) {
    if (!IsKeptXattr(name)) continue;
    std::string value(XATTR_SIZE_MAX, '\0');
    const ssize_t size = ::fgetxattr(from, name.c_str(), value.data(), value.size());
    if (size < 0) return EntryError("getxattr", path);
    if (::fsetxattr(to, name.c_str(), value.data(), static_cast<size_t>(size), 0) != 0)
      return EntryError("setxattr", path);
  }
  return absl::OkStatus();
}

}  // namespace berth
