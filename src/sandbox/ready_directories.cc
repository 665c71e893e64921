#include "src/sandbox/ready_directories.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include <optional>

#include "absl/strings/str_cat.h"
#include "src/base/id.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/sandbox/pod_files.h"
#include "src/sandbox/record_file.h"

namespace berth {
namespace {

absl::Status Make(ReadyDirectories::Kind kind, const std::string& path) {
  RETURN_IF_ERROR(MakeDirs(path, 0700));
  RETURN_IF_ERROR(ReserveRecordFile(path));
  if (kind == ReadyDirectories::Kind::kPod) return ReservePodFiles(path);
  RETURN_IF_ERROR(MakeDirs(path + "/upper", 0755));
  return MakeDirs(path + "/work", 0700);
}

absl::StatusOr<std::string> MakeIn(const std::string& root, ReadyDirectories::Kind kind) {
  const std::string path = absl::StrCat(root, "/", NewId());
  if (const absl::Status made = Make(kind, path); !made.ok()) {
    RemoveTreeAt(AT_FDCWD, path).IgnoreError();
    return made;
  }
  return path;
}

}  // namespace

void SpreadOverBlockGroups(const std::string& path) {
  const absl::StatusOr<UniqueFd> directory = OpenDir(AT_FDCWD, path);
  int flags = 0;
  if (!directory.ok() || ::ioctl(directory->get(), FS_IOC_GETFLAGS, &flags) != 0) return;
  flags |= FS_TOPDIR_FL;
  ::ioctl(directory->get(), FS_IOC_SETFLAGS, &flags);
}

absl::StatusOr<std::unique_ptr<ReadyDirectories>> ReadyDirectories::Start(std::string root) {
  RemoveTreeAt(AT_FDCWD, root).IgnoreError();  // or at the next start
  if (MakeDirs(root, 0700).ok()) SpreadOverBlockGroups(root);
  const auto start = [&](Kind kind) -> absl::StatusOr<std::unique_ptr<Pool>> {
    // Whoever needs one that is not ready makes it, and tells why that cannot be done.
    ASSIGN_OR_RETURN(std::unique_ptr<Pool> pool,
                     Pool::Create({.what = "directory", .size = kReady, .log = nullptr},
                                  [root, kind] { return MakeIn(root, kind); }));
    pool->Start();
    return pool;
  };
  ASSIGN_OR_RETURN(std::unique_ptr<Pool> pods, start(Kind::kPod));
  ASSIGN_OR_RETURN(std::unique_ptr<Pool> containers, start(Kind::kContainer));
  return std::unique_ptr<ReadyDirectories>(
      new ReadyDirectories(std::move(pods), std::move(containers)));
}

absl::Status ReadyDirectories::Take(Kind kind, const std::string& path) {
  const std::optional<std::string> ready = (kind == Kind::kPod ? pods_ : containers_)->Take();
  if (ready.has_value()) {
    if (::rename(ready->c_str(), path.c_str()) == 0) return absl::OkStatus();
    RemoveTreeAt(AT_FDCWD, *ready).IgnoreError();  // or at the next start
  }
  return Make(kind, path);
}

}  // namespace berth
