#include "test/e2e/isolation.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "absl/strings/match.h"
#include "test/e2e/text_file.h"

namespace berth::e2e {
namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = "berth-e2e-";

std::string BaseDir() {
  const char* base = getenv("BERTH_E2E_BASE");
  return base != nullptr && *base != '\0' ? base : "/var/tmp";
}

std::string& MutableName() {
  static std::string* name = new std::string;
  return *name;
}

[[noreturn]] void Give(int code, const char* what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  _exit(code);
}

void Require(bool ok, const char* what) {
  if (!ok) Give(1, what);
}

// Directories called `name` anywhere below the cgroup mounts, removed with all below them (a cgroup
// directory is removed by rmdir alone, deepest first).
void RemoveCgroups(const fs::path& dir, const std::string& name, int depth) {
  std::error_code ignored;
  std::vector<fs::path> children;
  for (const auto& entry : fs::directory_iterator(dir, ignored)) {
    if (entry.is_directory(ignored) && !entry.is_symlink(ignored)) children.push_back(entry.path());
  }
  for (const fs::path& child : children) {
    const bool ours = name.empty() || child.filename().string() == name;
    if (ours) {
      RemoveCgroups(child, "", depth);
      rmdir(child.c_str());
    } else if (depth > 0) {
      RemoveCgroups(child, name, depth - 1);
    }
  }
}

void RemoveNode(const std::string& name) {
  std::error_code ignored;
  RemoveCgroups("/sys/fs/cgroup", name, 2);
  fs::remove_all(fs::path(BaseDir()) / name, ignored);
}

// What earlier runs left that were killed before they could clean up.
void RemoveDeadNodes() {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(BaseDir(), ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(kPrefix, 0) != 0) continue;
    const int pid = atoi(name.c_str() + sizeof kPrefix - 1);
    if (pid > 0 && kill(pid, 0) != 0 && errno == ESRCH) RemoveNode(name);
  }
}

int WaitFor(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) Give(1, "waitpid");
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void SetLoopbackUp() {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  snprintf(request.ifr_name, sizeof request.ifr_name, "lo");
  Require(ioctl(fd, SIOCGIFFLAGS, &request) == 0, "SIOCGIFFLAGS lo");
  request.ifr_flags |= IFF_UP;
  Require(ioctl(fd, SIOCSIFFLAGS, &request) == 0, "SIOCSIFFLAGS lo");
  close(fd);
}

// pid 1 of the node, or its subreaper: reaps what is left to it until the tests end.
[[noreturn]] void ReapUntil(pid_t tests) {
  for (;;) {
    int status = 0;
    const pid_t pid = wait(&status);
    if (pid == tests) _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    if (pid < 0 && errno != EINTR) _exit(1);
  }
}

void BecomeNode() {
  if (MachineIsOwn())
    Require(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0, "prctl PR_SET_CHILD_SUBREAPER");
  Require(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0, "prctl PR_SET_PDEATHSIG");
  Require(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "mount private /");
  Require(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0,
          "mount /proc");
  Require(sethostname("e2e-node", 8) == 0, "sethostname");
  SetLoopbackUp();
}

}  // namespace

bool MachineIsOwn() {
  const char* own = getenv("BERTH_E2E_OWN_MACHINE");
  return own != nullptr && strcmp(own, "1") == 0;
}

const std::string& NodeName() { return MutableName(); }

const std::string& NodeDir() {
  static const std::string* dir = new std::string(BaseDir() + "/" + NodeName());
  return *dir;
}

bool KernelIsOwn() { return absl::StrContains(ContentOf("/proc/cpuinfo"), "User Mode Linux"); }

void EnterOwnNode() {
  MutableName() = kPrefix + std::to_string(getpid());
  RemoveDeadNodes();
  RemoveNode(NodeName());
  fs::create_directories(NodeDir());
  const int pids = MachineIsOwn() ? 0 : CLONE_NEWPID;
  if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | pids) != 0) {
    const int error = errno;
    RemoveNode(NodeName());
    errno = error;
    Give(kSkippedExitCode, "skipped, these tests need root: unshare");
  }
  const pid_t init = fork();
  Require(init >= 0, "fork");
  if (init > 0) {
    const int code = WaitFor(init);
    RemoveNode(NodeName());
    _exit(code);
  }
  BecomeNode();
  const pid_t tests = fork();
  Require(tests >= 0, "fork");
  if (tests > 0) ReapUntil(tests);
  Require(setpgid(0, 0) == 0, "setpgid");
}

}  // namespace berth::e2e
