#include "src/runtime/confinement.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"
#include "src/base/unique_fd.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr size_t kMaxBytes = 1 << 20;  // "Groups:" alone may be 65536 numbers

// "" without such a line.
std::string FieldOf(const std::string& status, absl::string_view name) {
  for (const absl::string_view line : absl::StrSplit(status, '\n')) {
    absl::string_view value = line;
    if (absl::ConsumePrefix(&value, name) && absl::ConsumePrefix(&value, ":"))
      return std::string(absl::StripAsciiWhitespace(value));
  }
  return std::string();
}

absl::Status Mismatch(absl::string_view what, absl::string_view wanted, absl::string_view found) {
  return absl::PermissionDeniedError(absl::StrCat("verify confinement: ", what, " should be ",
                                                  wanted, ", is ",
                                                  found.empty() ? "not there" : found));
}

absl::Status CheckStatusFile(int process, const ExpectedConfinement& expected) {
  ASSIGN_OR_RETURN(const std::string status, ReadFileAt(process, "status", kMaxBytes));
  if (const std::string mode = FieldOf(status, "Seccomp"); expected.seccomp && mode != "2")
    return Mismatch("Seccomp", "2 (filter)", mode);
  const std::string no_new_privs = FieldOf(status, "NoNewPrivs");
  if (expected.no_new_privs && no_new_privs != "1")
    return Mismatch("NoNewPrivs", "1", no_new_privs);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadLabel(int process, const std::string& file) {
  ASSIGN_OR_RETURN(std::string label, ReadFileAt(process, file, kMaxBytes));
  while (!label.empty() && (label.back() == '\0' || label.back() == '\n')) label.pop_back();
  return label;
}

// "profile (enforce)"; attr/apparmor is there since Linux 5.8, attr is the first module's.
absl::Status CheckAppArmor(int process, const std::string& profile) {
  absl::StatusOr<std::string> label = ReadLabel(process, "attr/apparmor/current");
  if (absl::IsNotFound(label.status())) label = ReadLabel(process, "attr/current");
  RETURN_IF_ERROR(label.status());
  const std::string name = label->substr(0, label->rfind(" ("));
  if (name != profile) return Mismatch("AppArmor profile", profile, *label);
  return absl::OkStatus();
}

absl::Status CheckSelinux(int process, const std::string& context) {
  ASSIGN_OR_RETURN(const std::string label, ReadLabel(process, "attr/current"));
  if (label != context) return Mismatch("SELinux context", context, label);
  return absl::OkStatus();
}

absl::Status Check(const std::string& directory, const ExpectedConfinement& expected) {
  ASSIGN_OR_RETURN(const UniqueFd process, OpenFile(AT_FDCWD, directory, O_PATH | O_DIRECTORY));
  RETURN_IF_ERROR(CheckStatusFile(process.get(), expected));
  if (!expected.apparmor.empty()) RETURN_IF_ERROR(CheckAppArmor(process.get(), expected.apparmor));
  if (!expected.selinux.empty()) RETURN_IF_ERROR(CheckSelinux(process.get(), expected.selinux));
  return absl::OkStatus();
}

// A pidfd is readable when its process has ended (pidfd_open(2)).
bool HasEnded(int pidfd) {
  pollfd ended = {.fd = pidfd, .events = POLLIN};
  return poll(&ended, 1, 0) == 1;
}

// What is read of a pid counts only if its process still held it when it was read.
absl::Status CheckAlive(int pidfd, pid_t pid, const ExpectedConfinement& expected) {
  const absl::Status found = Check(absl::StrCat(expected.proc, "/", pid), expected);
  return HasEnded(pidfd) ? absl::OkStatus() : found;
}

// -1: reaped already.
absl::StatusOr<pid_t> PidOf(int pidfd) {
  ASSIGN_OR_RETURN(const std::string info,
                   ReadFileAt(AT_FDCWD, absl::StrCat("/proc/self/fdinfo/", pidfd), kMaxBytes));
  pid_t pid = 0;
  if (!absl::SimpleAtoi(FieldOf(info, "Pid"), &pid))
    return absl::InvalidArgumentError(absl::StrCat("fdinfo ", pidfd, ": not a pidfd"));
  return pid;
}

}  // namespace

ExpectedConfinement ExpectedOf(const ProcessIdentity& identity) {
  return {.seccomp = !identity.program.filter.empty(),
          .no_new_privs = identity.no_new_privs,
          .apparmor = identity.apparmor,
          .selinux = identity.selinux};
}

absl::Status VerifyConfinement(int pidfd, const ExpectedConfinement& expected) {
  ASSIGN_OR_RETURN(const pid_t pid, PidOf(pidfd));
  return pid < 0 ? absl::OkStatus() : CheckAlive(pidfd, pid, expected);
}

absl::Status VerifyConfinementOfPid(pid_t pid, const ExpectedConfinement& expected) {
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid() && errno == ESRCH) return absl::OkStatus();
  if (!pidfd.valid()) return ErrnoStatus("pidfd_open", absl::StrCat(pid));
  return CheckAlive(pidfd.get(), pid, expected);
}

}  // namespace berth
