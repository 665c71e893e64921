#include "src/kernel/apparmor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"
#include "src/base/unique_fd.h"
#include "src/kernel/file.h"
#include "src/kernel/process.h"

namespace berth {
namespace {

constexpr size_t kProfilesMaxBytes = 16 << 20;
constexpr size_t kOutputMaxBytes = 4096;
constexpr int kTimeoutMs = 30'000;
constexpr const char* kParsers[] = {"/sbin/apparmor_parser", "/usr/sbin/apparmor_parser"};

// Files, capabilities and the network are allowed as far as the rest of the confinement lets them;
// closed are mounts, what reaches the node through /proc and /sys, and the socket families that
// seccomp cannot see behind socketcall(2). No tunables: nothing is read from the node's policy.
// Without the abi line the parser compiles no network rule for a mainline kernel.
constexpr absl::string_view kDefaultText = R"(abi <kernel>,

profile NAME flags=(attach_disconnected, mediate_deleted) {
  file,
  capability,
  network,
  umount,

  deny network alg,
  deny network vsock,
  deny mount,

  signal receive peer=unconfined,
  signal receive peer=NAME,
  signal send peer=NAME,
  ptrace peer=NAME,

  deny /proc/{kcore,kmem,mem,kpage*,sysrq-trigger} mrwkl,
  deny /proc/{acpi,asound,bus,driver,fs,irq,mtrr,scsi,timer_list,tty}{,/**} wkl,
  deny /proc/sys/{abi,debug,dev,fs,sunrpc,user,vm}/** wkl,
  deny /proc/sys/kernel/{[^ms]*,m[^s]*,s[^eh]*}{,/**} wkl,

  deny /sys/{block,bus,class,dev,devices,hypervisor,module,power}/** wkl,
  deny /sys/fs/{[^c]*,c[^g]*}{,/**} wkl,
  deny /sys/kernel/** wkl,
  deny /sys/{firmware,kernel/security,kernel/debug,devices/virtual/powercap}/** mrwkl,
}
)";

absl::StatusOr<std::string> FindParser(const LsmPaths& paths) {
  if (!paths.apparmor_parser.empty()) return paths.apparmor_parser;
  for (const char* parser : kParsers)
    if (access(parser, X_OK) == 0) return std::string(parser);
  return absl::FailedPreconditionError(absl::StrCat("load apparmor profile ", kAppArmorDefault,
                                                    ": apparmor_parser is not installed"));
}

absl::StatusOr<UniqueFd> TextFile(absl::string_view text) {
  UniqueFd file(memfd_create("apparmor", MFD_CLOEXEC));
  if (!file.valid()) return ErrnoStatus("memfd_create", "apparmor");
  if (pwrite(file.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    return ErrnoStatus("write", "apparmor profile");
  return file;
}

// Its exit status; killed after the timeout.
absl::StatusOr<int> Await(const SpawnedProcess& process, const std::string& parser) {
  pollfd ended = {.fd = process.pidfd.get(), .events = POLLIN};
  const bool in_time = poll(&ended, 1, kTimeoutMs) == 1;
  if (!in_time) syscall(SYS_pidfd_send_signal, process.pidfd.get(), SIGKILL, nullptr, 0);
  siginfo_t info = {};
  if (waitid(P_PIDFD, static_cast<id_t>(process.pidfd.get()), &info, WEXITED) != 0)
    return ErrnoStatus("waitid", parser);
  if (!in_time) return absl::DeadlineExceededError(absl::StrCat("run ", parser, ": took too long"));
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

absl::Status Load(const std::string& parser, absl::string_view text) {
  ASSIGN_OR_RETURN(const UniqueFd profile, TextFile(text));
  const UniqueFd output(memfd_create("apparmor-output", MFD_CLOEXEC));
  if (!output.valid()) return ErrnoStatus("memfd_create", "apparmor-output");
  ASSIGN_OR_RETURN(const SpawnedProcess process,
                   Spawn({.path = parser,
                          .argv = {"apparmor_parser", "--replace", "--skip-cache"},
                          .env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"},
                          .fds = {profile.get(), output.get(), output.get()}}));
  ASSIGN_OR_RETURN(const int status, Await(process, parser));
  if (status == 0) return absl::OkStatus();
  std::string words(kOutputMaxBytes, '\0');
  const ssize_t size = pread(output.get(), words.data(), words.size(), 0);
  words.resize(size < 0 ? 0 : static_cast<size_t>(size));
  return absl::FailedPreconditionError(absl::StrCat("load apparmor profile ", kAppArmorDefault,
                                                    ": ", parser, " exited with ", status, ": ",
                                                    absl::StripAsciiWhitespace(words)));
}

absl::Status Unavailable(absl::string_view profile, absl::string_view cause) {
  return absl::FailedPreconditionError(absl::StrCat("apparmor profile ", profile, ": ", cause));
}

}  // namespace

// Lines are "name (mode)"; a name may hold blanks.
absl::StatusOr<bool> AppArmorProfileIsLoaded(const LsmPaths& paths, absl::string_view profile) {
  ASSIGN_OR_RETURN(const std::string text,
                   ReadFileAt(AT_FDCWD, absl::StrCat(paths.securityfs, "/apparmor/profiles"),
                              kProfilesMaxBytes));
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (line.substr(0, line.rfind(" (")) == profile && !line.empty()) return true;
  }
  return false;
}

std::string AppArmorDefaultProfile() {
  return absl::StrReplaceAll(kDefaultText, {{"NAME", kAppArmorDefault}});
}

absl::Status EnsureAppArmorDefault(const LsmPaths& paths) {
  ASSIGN_OR_RETURN(const bool loaded, AppArmorProfileIsLoaded(paths, kAppArmorDefault));
  if (loaded) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string parser, FindParser(paths));
  RETURN_IF_ERROR(Load(parser, AppArmorDefaultProfile()));
  ASSIGN_OR_RETURN(const bool now, AppArmorProfileIsLoaded(paths, kAppArmorDefault));
  if (!now) return Unavailable(kAppArmorDefault, "not in the kernel after it was loaded");
  return absl::OkStatus();
}

absl::StatusOr<std::string> ResolveAppArmor(const AppArmorRequest& request, const LsmFacts& facts,
                                            const LsmPaths& paths) {
  if (request.privileged || request.kind == ProfileKind::kUnconfined) return std::string();
  if (!facts.apparmor) {
    if (request.kind == ProfileKind::kUnset) return std::string();
    return Unavailable(request.kind == ProfileKind::kLocalhost ? request.profile : "of the runtime",
                       "asked for, but this kernel has no AppArmor");
  }
  if (request.kind != ProfileKind::kLocalhost) {
    RETURN_IF_ERROR(EnsureAppArmorDefault(paths));
    return std::string(kAppArmorDefault);
  }
  if (request.profile.empty()) return absl::InvalidArgumentError("apparmor profile: no name");
  ASSIGN_OR_RETURN(const bool loaded, AppArmorProfileIsLoaded(paths, request.profile));
  if (!loaded) return Unavailable(request.profile, "not loaded");
  return request.profile;
}

}  // namespace berth
