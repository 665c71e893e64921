// Files and directories by fd: open, bounded read, atomic write, tree removal. All fds are
// O_CLOEXEC.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/unique_fd.h"

namespace berth {

// O_RDONLY | O_DIRECTORY. `at` may be AT_FDCWD.
absl::StatusOr<UniqueFd> OpenDir(int at, const std::string& path);
absl::StatusOr<UniqueFd> OpenFile(int at, const std::string& path, int flags, mode_t mode = 0);

// The same descriptor at a number beyond those that come and go: for one that is kept long, of
// which there are many. New ones then have low numbers, and a helper's table, which holds all up to
// the highest that it is given, stays small (Spawn). As it was where there is no such number to be
// had.
UniqueFd SetAside(UniqueFd fd);

// Creates `path` and its missing parents with `mode` (umask does not apply to the last component).
absl::Status MakeDirs(const std::string& path, mode_t mode);

// Whole content; ResourceExhausted if it is longer than `max_bytes`.
absl::StatusOr<std::string> ReadFileAt(int at, const std::string& path, size_t max_bytes = 1 << 20);
absl::StatusOr<std::string> ReadFd(int fd, size_t max_bytes, absl::string_view name);

// One write(2) of the whole value to an existing file (cgroup and /proc files).
absl::Status WriteFileAt(int at, const std::string& path, absl::string_view value);

// Writes `path`.tmp and renames it over `path`. No fsync: for state that need not outlive a power
// cut.
absl::Status ReplaceFileAt(int at, const std::string& path, absl::string_view content, mode_t mode);

// Writes the whole of `path` in place: its inode stays. Makes it where it is missing.
absl::Status OverwriteFileAt(int at, const std::string& path, absl::string_view content,
                             mode_t mode);

// Removes `name` below `at` and all it holds, without following links. NotFound is success.
absl::Status RemoveTreeAt(int at, const std::string& name);
// The same at the caller's pace: `go_on` is asked before each entry; false ends it with Cancelled.
absl::Status RemoveTreeAt(int at, const std::string& name, absl::FunctionRef<bool()> go_on);

// Names in a directory, without "." and "..", unsorted.
absl::StatusOr<std::vector<std::string>> ListDir(int at, const std::string& path);
// The same of those that are directories themselves; what is a link to one is not.
absl::StatusOr<std::vector<std::string>> ListSubdirectories(int at, const std::string& path);

}  // namespace berth
