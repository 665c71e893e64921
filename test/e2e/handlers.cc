#include "test/e2e/handlers.h"

#include <sys/mount.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "test/e2e/isolation.h"

namespace berth::e2e {
namespace {

struct Program {
  const char *handler, *path;
};
constexpr Program kPrograms[] = {{"runc", "/usr/sbin/runc"}, {"crun", "/usr/bin/crun"}};

// `handler` "" is any external one; `test` is a pattern of --gtest_filter.
struct Difference {
  const char *handler, *test, *reason;
};
constexpr Difference kDifferences[] = {
    {"", "UserNamespaceTest.*", "an external handler has no user namespaces: its pods are refused"},
    {"", "ConfinementTest.DefaultErrnoOfAProfileIsUsed",
     "the runtime's own init runs under the filter, and needs calls that the program does not"},
    {"", "ConfinementTest.FilterThatForbidsTheStartIsAStartError",
     "each tells of it in its own way; killed at its exec, a program counts as started"},
    {"", "DeclaredVolumeTest.*",
     "a VOLUME below a read-only root is an empty directory: config.json cannot name the root's "
     "own"},
    {"", "LifeTest.EnvironmentIsBytes", "config.json is UTF-8, which has no form for other bytes"},
    {"", "HooksTest.GetTheStateAndNothingElse", "hooks run in the bundle; crun says \"created\""},
    {"", "InsideTest.EnvironmentIsImageThenRequestAndLaterWins", "it has bytes that are not UTF-8"},
    {"", "SecurityTest.S_15_HooksGetNothingOfTheImagesEnvironment", "hooks run in the bundle"},
    {"", "SecurityTest.S_06_CgroupsAreReadOnlyAndPrivate",
     "the tmpfs that holds the v1 hierarchies is writable, they themselves are not"},
    {"", "SecurityTest.S_11_NothingIsMountedOverProcOrSys",
     "runc follows a link of the image to /sys, crun also one to /proc"},
    {"", "InsideTest.I_39_MaskedDirectoriesAreOneFileSystem",
     "each mask is a file system of its own"},
    {"", "ExecTest.I_20_TimeoutKillsItsOrphansToo",
     "an exec has no cgroup of its own: its first process is killed"},
    {"", "SessionTest.ExecHasATerminal", "Exec with a terminal is refused"},
    {"", "SessionTest.I_23_AbortedSessionsLeaveNothing", "half of its sessions have a terminal"},
    {"", "SessionTest.ExecThatIsNotThereIsToldToTheClient",
     "the runtime says it on the session's stderr, and exits with 255"},
    {"runc", "ExecTest.I_20_OrphansThatKeepTheOutputOpenDoNotHoldTheAnswer",
     "runc copies the output, until nobody holds it"},
    {"runc", "ExecTest.IsInsideTheContainer", "runc gives an exec a pipe as stdin"},
    {"runc", "SecurityTest.S_04_MountTargetThatIsExchangedForALinkLoses",
     "runc 1.1.5 loses that race at times, and makes an empty directory on the node"},
    {"runc", "LifeTest.RlimitsOfTheConfigurationHold",
     "runc's init is a Go program, whose start raises the soft limit of open files, at times after "
     "it was set"},
    {"crun", "UpdateTest.QuotaMayBeLifted",
     "crun 1.8.1 fails to write a quota of -1: the update is refused (ERANGE)"},
    {"crun", "SecurityTest.S_15_VariableWithoutValueDoesNotImportTheDaemons",
     "crun sets HOME from the image's passwd"},
    {"crun", "MountTest.ReadonlyReachesMountsBelowOnlyIfRecursive",
     "crun 1.8.1 has no `features` command that would say that it knows rro"},
    {"runc", "HooksTest.FailureOfACreateHookStopsTheStart",
     "the message has the hook's number and output, not its path"},
    {"", "HooksTest.FailureOfAPoststartHookDoesNotStopTheContainer",
     "runc ends the container; crun goes on, and tells nobody"},
    {"runc", "HooksTest.FailureOfAPoststopHookDoesNotStopTheRemoval",
     "runc stops at the first poststop hook that fails"},
};

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
    _exit(kSkippedExitCode);
  }
  // crun 1.8 takes a cgroup2 mount beside v1 hierarchies for a broken hybrid layout; and makes
  // plain directories where it was, which are not to be the machine's.
  constexpr char kUnified[] = "/sys/fs/cgroup/unified";
  if (HandlerUnderTest() != "crun" || umount2(kUnified, MNT_DETACH) != 0) return;
  if (mount("tmpfs", kUnified, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64m") != 0) {
    perror("mount tmpfs /sys/fs/cgroup/unified");
    _exit(1);
  }
}

std::string WithoutAllowedDifferences(const std::string& filter) {
  if (HandlerUnderTest().empty()) return filter;
  std::string rest = filter;
  for (const Difference& difference : kDifferences) {
    if (*difference.handler != '\0' && HandlerUnderTest() != difference.handler) continue;
    printf("without %s: %s\n", difference.test, difference.reason);
    // After the first '-' stand the patterns that are left out.
    absl::StrAppend(&rest, absl::StrContains(rest, '-') ? ":" : "-", difference.test);
  }
  return rest;
}

}  // namespace berth::e2e
