#include "src/runtime/trusted_file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/base/unique_fd.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

absl::Status Refuse(absl::string_view path, absl::string_view cause) {
  return absl::FailedPreconditionError(absl::StrCat("check ", path, ": ", cause));
}

absl::Status CheckOwner(const struct stat& info, absl::string_view path) {
  if (info.st_uid != 0 && info.st_uid != ::geteuid())
    return Refuse(path, absl::StrCat("belongs to user ", info.st_uid, ", not to root"));
  const bool sticky_directory = S_ISDIR(info.st_mode) && (info.st_mode & S_ISVTX) != 0;
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0 && !sticky_directory)
    return Refuse(path, "others than its owner may write it");
  return absl::OkStatus();
}

// Every directory above `path`, as it is written.
absl::Status CheckDirectories(const std::string& path) {
  for (size_t slash = path.find('/'); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const std::string directory = slash == 0 ? "/" : path.substr(0, slash);
    struct stat info;
    if (::stat(directory.c_str(), &info) != 0) return ErrnoStatus("stat", directory);
    RETURN_IF_ERROR(CheckOwner(info, directory));
  }
  return absl::OkStatus();
}

// The directories of the path and of where its symbolic links lead.
absl::Status CheckWay(const std::string& path) {
  if (!absl::StartsWith(path, "/")) return Refuse(path, "the path is not absolute");
  RETURN_IF_ERROR(CheckDirectories(path));
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved) == nullptr) return ErrnoStatus("realpath", path);
  if (path != resolved) RETURN_IF_ERROR(CheckDirectories(resolved));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadTrustedFile(const std::string& path, size_t max_bytes) {
  RETURN_IF_ERROR(CheckWay(path));
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus("stat", path);
  if (!S_ISREG(info.st_mode)) return Refuse(path, "is no regular file");
  RETURN_IF_ERROR(CheckOwner(info, path));
  return ReadFd(fd.get(), max_bytes, path);
}

absl::Status CheckTrustedExecutable(const std::string& path) {
  RETURN_IF_ERROR(CheckWay(path));
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return ErrnoStatus("stat", path);
  if (!S_ISREG(info.st_mode)) return Refuse(path, "is no regular file");
  RETURN_IF_ERROR(CheckOwner(info, path));
  if ((info.st_mode & 0111) == 0) return Refuse(path, "is not executable");
  return absl::OkStatus();
}

}  // namespace berth
