#include "src/runtime/monitor/cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

namespace berth::monitor {
namespace {

constexpr int kKillRounds =
    64;  // a fork bomb outruns one pass; it cannot outrun its own death for long

// The begin of the file, NUL-terminated; 0 bytes if it cannot be read.
size_t ReadSmall(int directory, const char* name, char* buffer, size_t bytes) {
  const int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const ssize_t n = read(fd, buffer, bytes - 1);
  close(fd);
  buffer[n > 0 ? n : 0] = '\0';
  return n > 0 ? n : 0;
}

}  // namespace

bool CgroupIsEmpty(int directory, int* processes) {
  // A directory has a link from each one below it (kernfs_refresh_inode, fs/kernfs/inode.c).
  struct stat info;
  if (fstat(directory, &info) != 0 || info.st_nlink > 2) return false;
  int fd = processes != nullptr ? *processes : -1;
  if (fd < 0) fd = openat(directory, "cgroup.procs", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char byte;
  const ssize_t n = pread(fd, &byte, 1, 0);
  if (processes != nullptr) {
    *processes = fd;
  } else {
    close(fd);
  }
  return n == 0;
}

void KillCgroup(int directory) {
  const int kill_file = openat(directory, "cgroup.kill", O_WRONLY | O_CLOEXEC);
  if (kill_file >= 0) {
    const bool killed = write(kill_file, "1", 1) == 1;
    close(kill_file);
    if (killed) return;
  }
  char pids[4096];
  for (int round = 0; round < kKillRounds; ++round) {
    if (ReadSmall(directory, "cgroup.procs", pids, sizeof(pids)) == 0) return;
    for (char* at = pids; *at != '\0';) {
      char* end;
      const long pid = strtol(at, &end, 10);
      if (end == at) break;
      // A pid cut off by the end of the buffer has no newline behind it: the next round finds it.
      if (*end == '\n' && pid > 0) kill(static_cast<pid_t>(pid), SIGKILL);
      at = *end == '\0' ? end : end + 1;
    }
  }
}

long OomKills(int memory_directory) {
  if (memory_directory < 0) return 0;
  char text[1024];
  if (ReadSmall(memory_directory, "memory.events", text, sizeof(text)) == 0 &&
      ReadSmall(memory_directory, "memory.oom_control", text, sizeof(text)) == 0) {
    return 0;
  }
  const char* line = strstr(text, "oom_kill ");
  return line == nullptr ? 0 : strtol(line + strlen("oom_kill "), nullptr, 10);
}

}  // namespace berth::monitor
