#include "src/sandbox/ready_directories.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "absl/strings/str_cat.h"
#include "src/base/id.h"
#include "src/base/start_thread.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/sandbox/pod_files.h"
#include "src/sandbox/record_file.h"

namespace berth {
namespace {

constexpr size_t kReady = 16;  // as many pods as a kubelet starts at once

absl::Status Make(ReadyDirectories::Kind kind, const std::string& path) {
  RETURN_IF_ERROR(MakeDirs(path, 0700));
  RETURN_IF_ERROR(ReserveRecordFile(path));
  if (kind == ReadyDirectories::Kind::kPod) return ReservePodFiles(path);
  RETURN_IF_ERROR(MakeDirs(path + "/upper", 0755));
  return MakeDirs(path + "/work", 0700);
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
  std::unique_ptr<ReadyDirectories> ready(new ReadyDirectories(std::move(root)));
  ASSIGN_OR_RETURN(ready->refiller_,
                   StartThread("that makes directories", [raw = ready.get()] { raw->Refill(); }));
  return ready;
}

ReadyDirectories::~ReadyDirectories() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  if (refiller_.joinable()) refiller_.join();
}

absl::Status ReadyDirectories::Take(Kind kind, const std::string& path) {
  std::string ready;
  {
    absl::MutexLock lock(&mu_);
    failing_ = false;
    std::vector<std::string>& paths = (kind == Kind::kPod ? pods_ : containers_).paths;
    if (!paths.empty()) {
      ready = std::move(paths.back());
      paths.pop_back();
    }
  }
  if (!ready.empty()) {
    if (::rename(ready.c_str(), path.c_str()) == 0) return absl::OkStatus();
    RemoveTreeAt(AT_FDCWD, ready).IgnoreError();  // or at the next start
  }
  return Make(kind, path);
}

ReadyDirectories::Stock* ReadyDirectories::Lacking() {
  for (Stock* stock : {&pods_, &containers_}) {
    if (stock->paths.size() < kReady) return stock;
  }
  return nullptr;
}

void ReadyDirectories::Refill() {
  while (true) {
    const std::string path = absl::StrCat(root_, "/", NewId());
    Kind kind;
    {
      const auto wanted = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return stopping_ || (!failing_ && Lacking() != nullptr);
      };
      absl::MutexLock lock(&mu_, absl::Condition(&wanted));
      if (stopping_) return;
      kind = Lacking()->kind;
    }
    const absl::Status status = Make(kind, path);
    if (!status.ok()) RemoveTreeAt(AT_FDCWD, path).IgnoreError();
    absl::MutexLock lock(&mu_);
    // Whoever needs one makes it, and tells why that cannot be done.
    failing_ = !status.ok();
    if (status.ok()) (kind == Kind::kPod ? pods_ : containers_).paths.push_back(path);
  }
}

}  // namespace berth
