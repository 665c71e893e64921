#include "src/runtime/monitor/paths_child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

// openat2 needs a directory fd as the root; "/" of this process serves where the caller has none.
int RootFd(int root) {
  return root >= 0 ? root : openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

// `name` in `parent`, made if missing. Closes `parent`.
int OpenOrMakeIn(int parent, const char* name, wire::PathKind kind) {
  const int made =
      kind == wire::kFile ? mknodat(parent, name, S_IFREG | 0644, 0) : mkdirat(parent, name, 0755);
  const int fd =
      made == 0 || errno == EEXIST ? openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;
  const int error = errno;
  close(parent);
  errno = error;
  return fd;
}

}  // namespace

int OpenInRoot(int root, const char* path, Links links) {
  uint64_t resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  if (links == Links::kRefuse) resolve |= RESOLVE_NO_SYMLINKS;
  const int base = RootFd(root);
  if (base < 0) return -1;
  // RESOLVE_IN_ROOT asks to be retried when a rename races with it (EAGAIN).
  int fd = -1;
  for (int tries = 0; tries < 64; ++tries) {
    fd = sys::Openat2(base, path, O_PATH | O_CLOEXEC, resolve);
    if (fd >= 0 || errno != EAGAIN) break;
  }
  if (base != root) {
    const int error = errno;
    close(base);
    errno = error;
  }
  return fd;
}

int OpenOrMakeInRoot(int root, std::string_view path, wire::PathKind kind, Links links) {
  if (path.size() >= PATH_MAX) {
    errno = ENAMETOOLONG;
    return -1;
  }
  char prefix[PATH_MAX];
  memcpy(prefix, path.data(), path.size());
  prefix[path.size()] = '\0';
  const int fd = OpenInRoot(root, prefix, links);
  if (fd >= 0 || errno != ENOENT) return fd;

  // Mostly it is the last part alone that is missing.
  const size_t slash = path.rfind('/');
  if (slash != std::string_view::npos && slash + 1 < path.size()) {
    prefix[slash] = '\0';
    const int directory = OpenInRoot(root, slash == 0 ? "/" : prefix, links);
    prefix[slash] = '/';
    if (directory >= 0) return OpenOrMakeIn(directory, prefix + slash + 1, kind);
    if (errno != ENOENT) return -1;
  }

  int parent = OpenInRoot(root, "/", links);
  size_t end = 0;
  while (parent >= 0) {
    size_t start = end;
    while (start < path.size() && path[start] == '/') ++start;
    end = start;
    while (end < path.size() && path[end] != '/') ++end;
    if (start == end) return parent;
    const bool last = path.find_first_not_of('/', end) == std::string_view::npos;
    prefix[end] = '\0';
    const char* name = prefix + start;
    const int next = OpenInRoot(root, prefix, links);
    if (next < 0 && errno == ENOENT) {
      parent = OpenOrMakeIn(parent, name, last ? kind : wire::kDirectory);
    } else {
      const int error = errno;
      close(parent);
      errno = error;
      parent = next;
    }
    if (end < path.size()) prefix[end] = '/';
  }
  return -1;
}

int OpenParentInRoot(int root, std::string_view path, const char** name, char* buffer,
                     unsigned buffer_bytes) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos || path.size() >= buffer_bytes) {
    errno = EINVAL;
    return -1;
  }
  memcpy(buffer, path.data(), path.size());
  buffer[path.size()] = '\0';
  *name = buffer + slash + 1;
  return OpenOrMakeInRoot(root, slash == 0 ? "/" : path.substr(0, slash), wire::kDirectory,
                          Links::kRefuse);
}

}  // namespace berth::monitor
