#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/base/unique_fd.h"
#include "src/kernel/file.h"
#include "src/kernel/selinux.h"

namespace berth {
namespace {

constexpr int kMaxDepth = 512;  // each level holds a descriptor
constexpr char kAttribute[] = "security.selinux";

// Whose labels the node itself lives by.
constexpr const char* kSystemDirectories[] = {
    "/",          "/bin",     "/boot",    "/dev",     "/etc",       "/home",
    "/lib",       "/lib32",   "/lib64",   "/libx32",  "/opt",       "/proc",
    "/root",      "/run",     "/sbin",    "/srv",     "/sys",       "/tmp",
    "/usr",       "/var",     "/usr/bin", "/usr/lib", "/usr/lib64", "/usr/sbin",
    "/usr/share", "/var/lib", "/var/log", "/var/run", "/var/tmp",
};

bool IsSame(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

absl::Status CheckNotSystem(int fd, const std::string& path) {
  std::string name = path;
  while (name.size() > 1 && name.back() == '/') name.pop_back();
  struct stat info;
  if (fstat(fd, &info) != 0) return ErrnoStatus("stat", path);
  for (const char* system : kSystemDirectories) {
    struct stat other;
    if (name == system || (stat(system, &other) == 0 && IsSame(info, other))) {
      return absl::InvalidArgumentError(
          absl::StrCat("relabel ", path, ": is ", system, ", which belongs to the system"));
    }
  }
  return absl::OkStatus();
}

// False: the file system keeps no labels.
absl::StatusOr<bool> SetLabel(int fd, const std::string& path, const std::string& label) {
  // Through /proc, since fsetxattr(2) takes no O_PATH descriptor; the link itself is labelled if it
  // is one. The kernel's own tools write the NUL, too.
  const std::string name = absl::StrCat("/proc/self/fd/", fd);
  if (setxattr(name.c_str(), kAttribute, label.c_str(), label.size() + 1, 0) == 0) return true;
  if (errno == EOPNOTSUPP) return false;
  return ErrnoStatus(absl::StrCat("setxattr ", kAttribute, " ", label, " on"), path);
}

absl::Status RelabelBelow(int fd, const std::string& path, const std::string& label, int depth) {
  if (depth == kMaxDepth)
    return absl::ResourceExhaustedError(
        absl::StrCat("relabel ", path, ": deeper than ", kMaxDepth, " directories"));
  ASSIGN_OR_RETURN(const UniqueFd directory, OpenDir(fd, "."));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDir(directory.get(), "."));
  for (const std::string& name : names) {
    open_how how = {};
    how.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV;
    const UniqueFd entry(
        static_cast<int>(syscall(SYS_openat2, directory.get(), name.c_str(), &how, sizeof(how))));
    if (!entry.valid() && (errno == ENOENT || errno == EXDEV)) continue;
    const std::string below = absl::StrCat(path, "/", name);
    if (!entry.valid()) return ErrnoStatus("open", below);
    ASSIGN_OR_RETURN(const bool labelled, SetLabel(entry.get(), below, label));
    struct stat info;
    if (fstat(entry.get(), &info) != 0) return ErrnoStatus("stat", below);
    if (labelled && S_ISDIR(info.st_mode))
      RETURN_IF_ERROR(RelabelBelow(entry.get(), below, label, depth + 1));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RelabelTree(int fd, const std::string& path, const std::string& label) {
  RETURN_IF_ERROR(CheckNotSystem(fd, path));
  RETURN_IF_ERROR(ParseSelinuxContext(label).status());
  ASSIGN_OR_RETURN(const bool labelled, SetLabel(fd, path, label));
  struct stat info;
  if (fstat(fd, &info) != 0) return ErrnoStatus("stat", path);
  if (!labelled || !S_ISDIR(info.st_mode)) return absl::OkStatus();
  return RelabelBelow(fd, path, label, 0);
}

}  // namespace berth
