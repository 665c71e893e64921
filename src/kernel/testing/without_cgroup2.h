// For tests: a node that has cgroup v1 alone.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "src/base/unique_fd.h"
#include "src/kernel/file.h"

namespace berth {

// As long as it lives, the calling thread and those that it starts see no cgroup2. Needs root.
class WithoutCgroup2 {
 public:
  WithoutCgroup2()
      : mounts_(open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC)),
        directory_(open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)) {
    EXPECT_EQ(unshare(CLONE_NEWNS), 0);
    EXPECT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    const std::string all =
        ReadFileAt(AT_FDCWD, "/proc/thread-self/mounts").value_or(std::string());
    for (absl::string_view line : absl::StrSplit(all, '\n', absl::SkipEmpty())) {
      const std::vector<std::string> fields = absl::StrSplit(line, ' ');
      if (fields[2] != "cgroup2") continue;
      EXPECT_EQ(umount2(fields[1].c_str(), MNT_DETACH), 0) << line;
    }
  }
  WithoutCgroup2(const WithoutCgroup2&) = delete;
  WithoutCgroup2& operator=(const WithoutCgroup2&) = delete;
  ~WithoutCgroup2() {
    EXPECT_EQ(setns(mounts_.get(), CLONE_NEWNS), 0);
    EXPECT_EQ(fchdir(directory_.get()), 0);
  }

 private:
  const UniqueFd mounts_, directory_;
};

}  // namespace berth
