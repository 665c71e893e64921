#include "src/image/pull/confine.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/sanitized.h"
#include "src/base/status_macros.h"
#include "src/image/pull/syscall_filter.h"
#include "src/kernel/file.h"
#include "src/kernel/landlock.h"
#include "src/kernel/self_confinement.h"

namespace berth {
namespace {

constexpr size_t kMaxBundle = 8 << 20;
constexpr size_t kMaxResolverFile = 1 << 20;

// What getaddrinfo(3) reads.
constexpr std::array kResolverFiles = {"resolv.conf", "hosts", "nsswitch.conf", "host.conf",
                                       "gai.conf"};

// Debian, Fedora, openSUSE, Alpine.
constexpr std::array kBundles = {"/etc/ssl/certs/ca-certificates.crt",
                                 "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
                                 "/etc/ssl/cert.pem"};

// SYS_ADMIN only because trusted.overlay.opaque cannot be set without it; what else it allows, the
// filter refuses.
constexpr std::array kCapabilities = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER,   CAP_FSETID,
                                      CAP_MKNOD, CAP_SETFCAP,      CAP_SYS_ADMIN};

constexpr rlim_t kMaxData = kSanitized ? RLIM_INFINITY : rlim_t{1} << 30;

absl::Status WriteFile(int directory, const std::string& name, absl::string_view content) {
  ASSIGN_OR_RETURN(UniqueFd fd,
                   OpenFile(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644));
  while (!content.empty()) {
    const ssize_t n = ::write(fd.get(), content.data(), content.size());
    if (n < 0) return ErrnoStatus("write", name);
    content.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

// A clone of a directory's mount that no device, setuid file or program can be used through.
absl::StatusOr<UniqueFd> CloneMount(int directory, uint64_t more_attributes, const char* name) {
  UniqueFd tree(static_cast<int>(::syscall(SYS_open_tree, directory, "",
                                           OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH)));
  if (!tree.valid()) return ErrnoStatus("open_tree", name);
  struct mount_attr attributes = {};
  attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | more_attributes;
  if (::syscall(SYS_mount_setattr, tree.get(), "", AT_EMPTY_PATH, &attributes,
                sizeof(attributes)) != 0) {
    return ErrnoStatus("mount_setattr", name);
  }
  return tree;
}

absl::Status FillRoot(int root) {
  for (const char* name : {"etc", "work", "layers"}) {
    if (::mkdirat(root, name, 0755) != 0) return ErrnoStatus("mkdir", name);
  }
  ASSIGN_OR_RETURN(UniqueFd etc, OpenDir(root, "etc"));
  for (const char* name : kResolverFiles) {
    const absl::StatusOr<std::string> content =
        ReadFileAt(AT_FDCWD, absl::StrCat("/etc/", name), kMaxResolverFile);
    if (content.ok()) RETURN_IF_ERROR(WriteFile(etc.get(), name, *content));
  }
  return absl::OkStatus();
}

// The new root is reached through its fd; /proc, which exists everywhere, only lends it a place to
// be mounted on.
absl::Status EnterNewRoot(int work_fd, int layers_fd, WorkAccess access) {
  const uint64_t work_attributes = access == WorkAccess::kReadOnly ? MOUNT_ATTR_RDONLY : 0;
  ASSIGN_OR_RETURN(UniqueFd work, CloneMount(work_fd, work_attributes, "the work directory"));
  ASSIGN_OR_RETURN(UniqueFd layers,
                   CloneMount(layers_fd, MOUNT_ATTR_RDONLY, "the directory of layers"));
  RETURN_IF_ERROR(EnterOwnMounts());
  ASSIGN_OR_RETURN(UniqueFd root, DetachedTmpfs("8m"));
  RETURN_IF_ERROR(FillRoot(root.get()));
  RETURN_IF_ERROR(AttachMount(root.get(), AT_FDCWD, "/proc"));
  RETURN_IF_ERROR(AttachMount(work.get(), root.get(), "work"));
  RETURN_IF_ERROR(AttachMount(layers.get(), root.get(), "layers"));
  return PivotInto(root.get());
}

}  // namespace

std::string LoadCaBundle() {
  for (const char* path : kBundles) {
    absl::StatusOr<std::string> bundle = ReadFileAt(AT_FDCWD, path, kMaxBundle);
    if (bundle.ok() && !bundle->empty()) return *std::move(bundle);
  }
  return "";
}

absl::StatusOr<ConfinedDirs> Confine(int work_fd, int layers_fd, WorkAccess access) {
  RETURN_IF_ERROR(EnterNewRoot(work_fd, layers_fd, access));
  // Every fd that still leads outside goes.
  if (::syscall(SYS_close_range, 3u, ~0u, 0u) != 0)
    return ErrnoStatus("close_range", "3 and above");
  ConfinedDirs dirs;
  ASSIGN_OR_RETURN(dirs.work, OpenDir(AT_FDCWD, "/work"));
  ASSIGN_OR_RETURN(dirs.layers, OpenDir(AT_FDCWD, "/layers"));
  ASSIGN_OR_RETURN(const UniqueFd etc, OpenDir(AT_FDCWD, "/etc"));
  RETURN_IF_ERROR(SetResourceLimits({
      {RLIMIT_CORE, 0, "RLIMIT_CORE"},
      {RLIMIT_NOFILE, 1024, "RLIMIT_NOFILE"},
      {RLIMIT_FSIZE, rlim_t{1} << 40, "RLIMIT_FSIZE"},
      {RLIMIT_DATA, kMaxData, "RLIMIT_DATA"},
  }));
  RETURN_IF_ERROR(KeepCapabilities({kCapabilities.begin(), kCapabilities.end()}));
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return ErrnoStatus("prctl", "PR_SET_NO_NEW_PRIVS");
  const std::vector<LandlockRule> rules = {
      {.directory = dirs.work.get(), .writable = access == WorkAccess::kWrite},
      {.directory = dirs.layers.get()},
      {.directory = etc.get()}};
  RETURN_IF_ERROR(RestrictFileAccess(rules).status());
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return ErrnoStatus("prctl", "PR_SET_DUMPABLE");
  RETURN_IF_ERROR(LoadSyscallFilter());
  return dirs;
}

}  // namespace berth
