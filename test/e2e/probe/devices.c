#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "json.h"
#include "probe.h"

const char* type_name(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG: return "file";
    case S_IFDIR: return "dir";
    case S_IFLNK: return "link";
    case S_IFCHR: return "char";
    case S_IFBLK: return "block";
    case S_IFIFO: return "fifo";
    case S_IFSOCK: return "socket";
  }
  return "unknown";
}

static const char* open_result(const char* path, int flags) {
  int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return errno_name(errno);
  close(fd);
  return "ok";
}

// A second node of the same number: what the 'm' of a device rule permits.
static const char* make_result(const struct stat* info) {
  static const char node[] = "/dev/probe-device";
  const char* result = mknod(node, (info->st_mode & S_IFMT) | 0600, info->st_rdev) ? errno_name(errno) : "ok";
  unlink(node);
  return result;
}

int devices(int argc, char** argv) {
  json_open(NULL, '{');
  for (int i = 2; i < argc; ++i) {
    struct stat info;
    char number[32];
    json_open(argv[i], '{');
    if (lstat(argv[i], &info)) {
      json_text("type", errno_name(errno));
    } else {
      json_text("type", type_name(info.st_mode));
      json_number("mode", info.st_mode & 07777);
      json_number("uid", info.st_uid);
      json_number("gid", info.st_gid);
      snprintf(number, sizeof number, "%u:%u", major(info.st_rdev), minor(info.st_rdev));
      json_text("rdev", number);
      json_text("read", open_result(argv[i], O_RDONLY));
      json_text("write", open_result(argv[i], O_WRONLY));
      json_text("make", make_result(&info));
    }
    json_close();
  }
  json_close();
  json_flush(1);
  return 0;
}

// The first byte of a file of procfs: "ok" or an errno.
static const char* peek(const char* pid, const char* file) {
  char path[PATH_MAX], byte;
  snprintf(path, sizeof path, "/proc/%s/%s", pid, file);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno_name(errno);
  const char* result = read(fd, &byte, 1) < 0 ? errno_name(errno) : "ok";
  close(fd);
  return result;
}

// Whether any link of a directory of procfs can be read: "ok", an errno, or "empty".
static const char* list(const char* pid, const char* dir) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "/proc/%s/%s", pid, dir);
  DIR* stream = opendir(path);
  if (!stream) return errno_name(errno);
  const char* result = "empty";
  for (struct dirent* entry; (entry = readdir(stream));) {
    char target[PATH_MAX];
    if (entry->d_name[0] == '.') continue;
    result = readlinkat(dirfd(stream), entry->d_name, target, sizeof target) < 0 ? errno_name(errno) : "ok";
    if (!strcmp(result, "ok")) break;
  }
  closedir(stream);
  return result;
}

// The name of a process; empty if it has ended.
static const char* name_of(const char* pid) {
  static char name[32];
  char path[64];
  snprintf(path, sizeof path, "/proc/%.20s/comm", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? 0 : read(fd, name, sizeof name);
  if (fd >= 0) close(fd);
  name[n > 0 ? n - 1 : 0] = 0;
  return name;
}

int spy(void) {
  DIR* stream = opendir("/proc");
  json_open(NULL, '{');
  for (struct dirent* entry; stream && (entry = readdir(stream));) {
    char path[PATH_MAX];
    const char* pid = entry->d_name;
    if (pid[0] < '0' || pid[0] > '9' || atoi(pid) == getpid()) continue;
    json_open(pid, '{');
    json_text("environ", peek(pid, "environ"));
    json_text("mem", peek(pid, "maps"));
    json_text("fd", list(pid, "fd"));
    snprintf(path, sizeof path, "/proc/%s/exe", pid);
    json_text("exe", open_result(path, O_RDONLY));
    json_text("exe_write", open_result(path, O_WRONLY));
    snprintf(path, sizeof path, "/proc/%s/root/", pid);
    json_text("root", open_result(path, O_RDONLY | O_DIRECTORY));
    json_text("comm", name_of(pid));  // last: what has a name was there for all of it
    json_close();
  }
  json_close();
  if (stream) closedir(stream);
  json_flush(1);
  return 0;
}

static volatile sig_atomic_t told_to_end;
static void note_end(int signal_number) { told_to_end = signal_number; }

enum { kMostTargets = 256 };
static char targets[kMostTargets][PATH_MAX];
static int target_count;

static void remember(const char* target) {
  for (int i = 0; i < target_count; ++i) {
    if (!strcmp(targets[i], target)) return;
  }
  if (target_count < kMostTargets) strcpy(targets[target_count++], target);
}

static void look_at(const char* pid) {
  char dir[64], path[PATH_MAX], target[PATH_MAX];
  snprintf(dir, sizeof dir, "/proc/%.20s/fd", pid);
  DIR* stream = opendir(dir);
  for (struct dirent* entry; stream && (entry = readdir(stream));) {
    snprintf(path, sizeof path, "%s/%.20s", dir, entry->d_name);
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0) continue;
    target[n] = 0;
    remember(target);
  }
  if (stream) closedir(stream);
}

// Until TERM: what every descriptor of every other process in sight is.
int watch(void) {
  long long rounds = 0;
  struct sigaction action = {.sa_handler = note_end};
  sigaction(SIGTERM, &action, NULL);
  for (; !told_to_end; ++rounds) {
    DIR* stream = opendir("/proc");
    for (struct dirent* entry; stream && (entry = readdir(stream));) {
      if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9' && atoi(entry->d_name) != getpid()) look_at(entry->d_name);
    }
    if (stream) closedir(stream);
  }
  json_open(NULL, '{');
  json_number("rounds", rounds);
  json_open("descriptors", '[');
  for (int i = 0; i < target_count; ++i) json_text(NULL, targets[i]);
  json_close();
  json_close();
  json_flush(1);
  return 0;
}
