#include "src/kernel/cgroup_hierarchy.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr size_t kMostBytes = 1 << 20;  // of a file

// Relative to the root's descriptor, which an absolute path would leave.
const char* Below(const std::string& path) {
  const size_t begin = path.find_first_not_of('/');
  return begin == std::string::npos ? "." : path.c_str() + begin;
}

}  // namespace

absl::StatusOr<CgroupHierarchy> CgroupHierarchy::Open(std::string mount_point) {
  CgroupHierarchy hierarchy;
  ASSIGN_OR_RETURN(hierarchy.root_, berth::OpenFile(AT_FDCWD, mount_point, O_PATH | O_DIRECTORY));
  hierarchy.mount_point_ = std::move(mount_point);
  return hierarchy;
}

absl::StatusOr<UniqueFd> CgroupHierarchy::OpenFile(const std::string& path, int flags) const {
  UniqueFd fd(::openat(root_.get(), Below(path), flags | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus("open", NameOf(path));
  return fd;
}

absl::StatusOr<UniqueFd> CgroupHierarchy::OpenDir(const std::string& path) const {
  return OpenFile(path, O_RDONLY | O_DIRECTORY);
}

absl::StatusOr<std::string> CgroupHierarchy::Read(const std::string& path) const {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY));
  return ReadFd(fd.get(), kMostBytes, NameOf(path));
}

absl::Status CgroupHierarchy::Write(const std::string& path, absl::string_view value) const {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_WRONLY));
  if (::write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size()))
    return ErrnoStatus(absl::StrCat("write \"", value, "\" to"), NameOf(path));
  return absl::OkStatus();
}

bool CgroupHierarchy::Exists(const std::string& path) const {
  return ::faccessat(root_.get(), Below(path), F_OK, 0) == 0;
}

absl::StatusOr<UniqueFd> CgroupHierarchy::CloneTree(const std::string& path) const {
  UniqueFd tree(static_cast<int>(
      ::syscall(SYS_open_tree, root_.get(), Below(path), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
  if (!tree.valid()) return ErrnoStatus("open_tree", NameOf(path));
  return tree;
}

absl::StatusOr<bool> CgroupHierarchy::Make(const std::string& path) const {
  if (::mkdirat(root_.get(), Below(path), 0755) == 0) return true;
  if (errno == EEXIST) return false;
  return ErrnoStatus("mkdir", NameOf(path));
}

absl::Status CgroupHierarchy::Remove(const std::string& path) const {
  const auto remove = [&] {
    return ::unlinkat(root_.get(), Below(path), AT_REMOVEDIR) == 0 || errno == ENOENT;
  };
  if (remove()) return absl::OkStatus();
  const absl::StatusOr<std::vector<std::string>> children =
      ListSubdirectories(root_.get(), Below(path));
  if (!children.ok()) return Annotate(children.status(), mount_point_);
  for (const std::string& child : *children)
    RETURN_IF_ERROR(Remove(absl::StrCat(path, "/", child)));
  if (remove()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("rmdir ", NameOf(path), ": ", std::strerror(errno)));
}

void CgroupHierarchy::Kill(const std::string& path) const {
  for (int round = 0; round < 64; ++round) {
    const absl::StatusOr<std::string> procs = Read(path + "/cgroup.procs");
    if (!procs.ok() || procs->empty()) break;
    for (absl::string_view line : absl::StrSplit(*procs, '\n', absl::SkipEmpty())) {
      pid_t pid;
      if (absl::SimpleAtoi(line, &pid) && pid > 0) ::kill(pid, SIGKILL);
    }
  }
  const absl::StatusOr<std::vector<std::string>> children =
      ListSubdirectories(root_.get(), Below(path));
  if (!children.ok()) return;
  for (const std::string& child : *children) Kill(absl::StrCat(path, "/", child));
}

}  // namespace berth
