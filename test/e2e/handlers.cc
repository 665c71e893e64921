#include "test/e2e/handlers.h"

#include <sys/mount.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace berth::e2e {
namespace {

struct Program {
  const char *handler, *path;
};
constexpr Program kPrograms[] = {{"runc", "/usr/sbin/runc"}, {"crun", "/usr/bin/crun"}};

constexpr int kSkipped = 77;

// `handler` "" is any external one. A test that ends in '*' is every test that begins so.
struct Difference {
  const char *handler, *test, *reason;
};
constexpr Difference kDifferences[] = {
    {"", "InsideTest.RootIsAnOverlayAndTheHostsTableDoesNotKnowIt",
     "an external runtime is given a root file system that is mounted outside the container"},
    {"", "InsideTest.SharedPidNamespaceHasAnInitThatIsNoContainer",
     "the process names of the runtime's own init differ"},
    {"", "InsideTest.SeccompFollowsTheProfileThatIsAskedFor",
     "needs a handler that takes compiled filters"},
    {"", "PodTest.*", "tests of pods alone, which no external runtime takes part in"},
    {"runc", "UserNamespaceTest.*", "runc 1.1 cannot id-map mounts"},
    {"runc", "MountTest.ReadonlyReachesMountsBelowOnlyIfRecursive",
     "runc 1.1 makes the mounts below recursively read-only by its own rules"},
    {"crun", "MountTest.ReadonlyReachesMountsBelowOnlyIfRecursive",
     "crun makes the mounts below recursively read-only by its own rules"},
};

bool Matches(absl::string_view pattern, absl::string_view test) {
  if (absl::ConsumeSuffix(&pattern, "*")) return absl::StartsWith(test, pattern);
  return pattern == test;
}

const Program* FindProgram(const std::string& handler) {
  for (const Program& program : kPrograms) {
    if (handler == program.handler) return &program;
  }
  return nullptr;
}

}  // namespace

const std::string& HandlerUnderTest() {
  static const std::string* const handler = [] {
    const char* name = getenv("BERTH_E2E_HANDLER");
    return new std::string(name == nullptr ? "" : name);
  }();
  return *handler;
}

std::string HandlerConfig() {
  const Program* program = FindProgram(HandlerUnderTest());
  if (program == nullptr) return "";
  return absl::StrCat("[handlers.", program->handler, "]\npath = \"", program->path, "\"\n\n");
}

void PrepareNodeForHandler() {
  if (HandlerUnderTest().empty()) return;
  const Program* program = FindProgram(HandlerUnderTest());
  if (program == nullptr || access(program->path, X_OK) != 0) {
    fprintf(stderr, "skipped: handler %s is not installed\n", HandlerUnderTest().c_str());
    _exit(kSkipped);
  }
  // crun takes a cgroup2 mount beside v1 hierarchies for a broken hybrid layout.
  if (HandlerUnderTest() == "crun") umount2("/sys/fs/cgroup/unified", MNT_DETACH);
}

std::optional<std::string> AllowedDifference(const std::string& test) {
  if (HandlerUnderTest().empty()) return std::nullopt;
  for (const Difference& difference : kDifferences) {
    const bool concerned = *difference.handler == '\0' || HandlerUnderTest() == difference.handler;
    if (concerned && Matches(difference.test, test)) return difference.reason;
  }
  return std::nullopt;
}

}  // namespace berth::e2e
