#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "json.h"
#include "probe.h"

static void identity(void) {
  gid_t groups[256];
  json_number("uid", getuid());
  json_number("euid", geteuid());
  json_number("gid", getgid());
  json_number("egid", getegid());
  json_open("groups", '[');
  int count = getgroups(256, groups);
  for (int i = 0; i < count; ++i) json_number(NULL, groups[i]);
  json_close();
  json_number("pid", getpid());
  json_number("ppid", getppid());
  json_number("sid", getsid(0));
  json_number("pgid", getpgid(0));
  mode_t mask = umask(0);
  umask(mask);
  json_number("umask", mask);
}

// The fields of /proc/self/status that are about privileges.
static void privileges(void) {
  static const char* const keys[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"};
  char line[512];
  FILE* file = fopen("/proc/self/status", "re");
  json_open("status", '{');
  while (file && fgets(line, sizeof line, file)) {
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; ++i) {
      size_t length = strlen(keys[i]);
      if (strncmp(line, keys[i], length) || line[length] != ':') continue;
      char* value = line + length + 1;
      value += strspn(value, " \t");
      value[strcspn(value, "\n")] = 0;
      json_text(keys[i], value);
    }
  }
  json_close();
  if (file) fclose(file);
}

static void links_in(const char* key, const char* dir) {
  DIR* stream = opendir(dir);
  json_open(key, '{');
  for (struct dirent* entry; stream && (entry = readdir(stream));) {
    char path[PATH_MAX], target[PATH_MAX];
    if (entry->d_name[0] == '.') continue;
    if (!strcmp(dir, "/proc/self/fd") && atoi(entry->d_name) == dirfd(stream)) continue;
    snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
    ssize_t n = readlink(path, target, sizeof target);
    if (n >= 0) json_bytes(entry->d_name, target, (size_t)n);
  }
  json_close();
  if (stream) closedir(stream);
}

static void devices_in(const char* dir) {
  DIR* stream = opendir(dir);
  for (struct dirent* entry; stream && (entry = readdir(stream));) {
    char path[PATH_MAX], target[PATH_MAX], number[32];
    struct stat info;
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
    if (lstat(path, &info)) continue;
    json_open(path, '{');
    json_text("type", type_name(info.st_mode));
    json_number("mode", info.st_mode & 07777);
    json_number("uid", info.st_uid);
    json_number("gid", info.st_gid);
    if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) {
      snprintf(number, sizeof number, "%u:%u", major(info.st_rdev), minor(info.st_rdev));
      json_text("rdev", number);
    }
    ssize_t n = readlink(path, target, sizeof target);
    if (n >= 0) json_bytes("target", target, (size_t)n);
    json_close();
  }
  if (stream) closedir(stream);
}

static void interfaces(void) {
  struct ifaddrs* list = NULL;
  getifaddrs(&list);
  json_open("interfaces", '[');
  for (struct ifaddrs* each = list; each; each = each->ifa_next) {
    char text[INET6_ADDRSTRLEN] = "";
    int family = each->ifa_addr ? each->ifa_addr->sa_family : 0;
    if (family == AF_INET) {
      inet_ntop(family, &((struct sockaddr_in*)each->ifa_addr)->sin_addr, text, sizeof text);
    } else if (family == AF_INET6) {
      inet_ntop(family, &((struct sockaddr_in6*)each->ifa_addr)->sin6_addr, text, sizeof text);
    }
    json_open(NULL, '{');
    json_text("name", each->ifa_name);
    json_bool("up", (each->ifa_flags & IFF_UP) != 0);
    json_number("family", family);
    json_text("address", text);
    json_close();
  }
  json_close();
  freeifaddrs(list);
}

// What reading would do now: "data" (or an end of file), "blocks", or an errno.
static const char* readiness(int fd) {
  struct pollfd poller = {.fd = fd, .events = POLLIN};
  int ready = poll(&poller, 1, 0);
  if (ready < 0) return errno_name(errno);
  if (ready == 0) return "blocks";
  return poller.revents & POLLIN ? "data" : "hangup";
}

static void stdio(void) {
  json_open("stdio", '[');
  for (int fd = 0; fd < 3; ++fd) {
    struct stat info;
    struct winsize size;
    json_open(NULL, '{');
    json_text("type", fstat(fd, &info) ? errno_name(errno) : type_name(info.st_mode));
    json_bool("tty", ioctl(fd, TIOCGWINSZ, &size) == 0);
    if (fd == 0) json_text("reading", readiness(fd));
    json_close();
  }
  json_close();
  int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
  json_text("controlling_tty", terminal < 0 ? errno_name(errno) : "ok");
  json_bool("foreground", terminal >= 0 && tcgetpgrp(terminal) == getpgid(0));
  if (terminal >= 0) close(terminal);
}

static void processes(void) {
  DIR* stream = opendir("/proc");
  json_open("processes", '{');
  for (struct dirent* entry; stream && (entry = readdir(stream));) {
    char path[64];
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
    snprintf(path, sizeof path, "/proc/%.20s/cmdline", entry->d_name);
    json_file(entry->d_name, path);
  }
  json_close();
  if (stream) closedir(stream);
}

static void limits_from_cgroup(void) {
  static const char* const files[] = {
      "/sys/fs/cgroup/memory.max",        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
      "/sys/fs/cgroup/cpu.max",           "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
      "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "/sys/fs/cgroup/cpu/cpu.shares",
      "/sys/fs/cgroup/cpu.weight",        "/sys/fs/cgroup/pids.max",
      "/sys/fs/cgroup/pids/pids.max",     "/sys/fs/cgroup/cpuset/cpuset.cpus",
      "/sys/fs/cgroup/cpuset.cpus",       "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes",
      "/sys/fs/cgroup/memory.swap.max",   "/sys/fs/cgroup/devices/devices.list"};
  json_open("cgroup_files", '{');
  for (size_t i = 0; i < sizeof files / sizeof files[0]; ++i) {
    if (!access(files[i], R_OK)) json_file(files[i], files[i]);
  }
  json_close();
}

static void file_systems(void) {
  static const char* const mounts[] = {"/", "/dev", "/dev/shm", "/proc", "/sys", "/dev/mqueue", "/dev/pts"};
  json_open("filesystems", '{');
  for (size_t i = 0; i < sizeof mounts / sizeof mounts[0]; ++i) {
    struct statvfs info;
    struct stat file;
    if (statvfs(mounts[i], &info) || stat(mounts[i], &file)) continue;
    json_open(mounts[i], '{');
    json_number("bytes", (long long)info.f_blocks * (long long)info.f_frsize);
    json_bool("readonly", (info.f_flag & ST_RDONLY) != 0);
    json_bool("nosuid", (info.f_flag & ST_NOSUID) != 0);
    json_bool("nodev", (info.f_flag & ST_NODEV) != 0);
    json_bool("noexec", (info.f_flag & ST_NOEXEC) != 0);
    json_number("mode", file.st_mode & 07777);
    json_close();
  }
  json_close();
}

int report(int argc, char** argv, char** env) {
  char text[PATH_MAX];
  json_open(NULL, '{');
  links_in("fds", "/proc/self/fd");  // first: nothing of the probe itself is open yet
  identity();
  privileges();
  gethostname(text, sizeof text);
  json_text("hostname", text);
  json_text("cwd", getcwd(text, sizeof text) ? text : errno_name(errno));
  json_open("argv", '[');
  for (int i = 0; i < argc; ++i) json_text(NULL, argv[i]);
  json_close();
  json_open("env", '[');
  for (char** each = env; *each; ++each) json_text(NULL, *each);
  json_close();
  links_in("namespaces", "/proc/self/ns");
  json_file("mountinfo", "/proc/self/mountinfo");
  json_file("cgroup", "/proc/self/cgroup");
  json_file("uid_map", "/proc/self/uid_map");
  json_file("gid_map", "/proc/self/gid_map");
  json_file("setgroups", "/proc/self/setgroups");
  json_file("limits", "/proc/self/limits");
  json_file("oom_score_adj", "/proc/self/oom_score_adj");
  json_file("init_cmdline", "/proc/1/cmdline");
  json_open("dev", '{');
  devices_in("/dev");
  devices_in("/dev/pts");
  json_close();
  json_open("files", '{');
  json_file("/etc/hosts", "/etc/hosts");
  json_file("/etc/hostname", "/etc/hostname");
  json_file("/etc/resolv.conf", "/etc/resolv.conf");
  json_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/net/ipv4/ip_unprivileged_port_start");
  json_close();
  interfaces();
  json_file("routes4", "/proc/net/route");
  json_file("routes6", "/proc/net/ipv6_route");
  stdio();
  limits_from_cgroup();
  file_systems();
  syscalls();
  processes();
  json_close();
  json_flush(1);
  return 0;
}

// What opening for reading (and, for a directory, listing) gives: "empty", "content", "entries" or an errno.
static const char* read_result(const char* path, const struct stat* info) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return errno_name(errno);
  const char* result = "empty";
  if (S_ISDIR(info->st_mode)) {
    DIR* stream = fdopendir(fd);
    for (struct dirent* entry; stream && (entry = readdir(stream));) {
      if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) result = "entries";
    }
    if (stream) closedir(stream);
    return result;
  }
  char byte;
  ssize_t n = read(fd, &byte, 1);
  if (n != 0) result = n > 0 ? "content" : errno_name(errno);
  close(fd);
  return result;
}

static const char* write_result(const char* path, const struct stat* info) {
  if (!S_ISDIR(info->st_mode)) {
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    const char* result = fd < 0 ? errno_name(errno) : "ok";
    if (fd >= 0) close(fd);
    return result;
  }
  char inside[PATH_MAX];
  snprintf(inside, sizeof inside, "%s/.probe-write", path);
  if (mkdir(inside, 0700)) return errno_name(errno);
  rmdir(inside);
  return "ok";
}

int paths(int argc, char** argv) {
  json_open(NULL, '{');
  for (int i = 2; i < argc; ++i) {
    struct stat info;
    struct statvfs fs;
    json_open(argv[i], '{');
    if (stat(argv[i], &info)) {
      json_text("type", errno_name(errno));
    } else {
      json_text("type", type_name(info.st_mode));
      json_text("read", read_result(argv[i], &info));
      json_text("write", write_result(argv[i], &info));
      if (statvfs(argv[i], &fs)) fs.f_flag = 0;
      json_bool("readonly", (fs.f_flag & ST_RDONLY) != 0);
      json_bool("nosuid", (fs.f_flag & ST_NOSUID) != 0);
      json_bool("nodev", (fs.f_flag & ST_NODEV) != 0);
      json_bool("noexec", (fs.f_flag & ST_NOEXEC) != 0);
      json_number("mode", info.st_mode & 07777);
      json_number("uid", info.st_uid);
      json_number("gid", info.st_gid);
    }
    json_close();
  }
  json_close();
  json_flush(1);
  return 0;
}

static void attributes(const char* path) {
  char names[4096], value[1024];
  long length = syscall(SYS_llistxattr, path, names, sizeof names);
  json_open("xattrs", '{');
  for (long at = 0; at < length; at += (long)strlen(names + at) + 1) {
    long n = syscall(SYS_lgetxattr, path, names + at, value, sizeof value);
    if (n >= 0) json_bytes(names + at, value, (size_t)n);
  }
  json_close();
}

static void walk(const char* path) {
  struct stat info;
  char target[PATH_MAX], number[32];
  if (lstat(path, &info)) return;
  json_open(path, '{');
  json_text("type", type_name(info.st_mode));
  json_number("mode", info.st_mode & 07777);
  json_number("uid", info.st_uid);
  json_number("gid", info.st_gid);
  json_number("nlink", (long long)info.st_nlink);
  json_number("inode", (long long)info.st_ino);
  json_number("mtime", (long long)info.st_mtime);
  if (S_ISREG(info.st_mode)) {
    json_number("size", (long long)info.st_size);
    if (info.st_size <= 4096) json_file("content", path);
  }
  if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) {
    snprintf(number, sizeof number, "%u:%u", major(info.st_rdev), minor(info.st_rdev));
    json_text("rdev", number);
  }
  ssize_t n = readlink(path, target, sizeof target);
  if (n >= 0) json_bytes("target", target, (size_t)n);
  attributes(path);
  json_close();
  if (!S_ISDIR(info.st_mode)) return;
  DIR* stream = opendir(path);
  for (struct dirent* entry; stream && (entry = readdir(stream));) {
    char inside[PATH_MAX];
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    snprintf(inside, sizeof inside, "%s/%s", strcmp(path, "/") ? path : "", entry->d_name);
    walk(inside);
  }
  if (stream) closedir(stream);
}

int tree(int argc, char** argv) {
  json_open(NULL, '{');
  for (int i = 2; i < argc; ++i) walk(argv[i]);
  json_close();
  json_flush(1);
  return 0;
}
