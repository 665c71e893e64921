#include "src/kernel/landlock.h"

#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "src/base/status_macros.h"
#include "src/base/unique_fd.h"

namespace berth {
namespace {

constexpr int kLeastAbi = 2;  // LANDLOCK_ACCESS_FS_REFER

// Accesses by the ABI that brought them; newer ones than the build machine's header by number.
struct AccessGroup {
  int abi;
  uint64_t read, write, never;
};
constexpr std::array kAccess = {
    AccessGroup{1, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
                LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                    LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                    LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                    LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                    LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM,
                LANDLOCK_ACCESS_FS_EXECUTE},
    AccessGroup{2, 0, LANDLOCK_ACCESS_FS_REFER, 0},
    AccessGroup{3, 0, 1u << 14, 0},  // LANDLOCK_ACCESS_FS_TRUNCATE
    AccessGroup{5, 0, 0, 1u << 15},  // LANDLOCK_ACCESS_FS_IOCTL_DEV
};
constexpr int kNetworkAbi = 4, kScopeAbi = 6;
constexpr uint64_t kBindTcp = 1;        // LANDLOCK_ACCESS_NET_BIND_TCP
constexpr uint64_t kAllScopes = 1 | 2;  // abstract unix sockets, signals

// struct landlock_ruleset_attr as of ABI 6; an older kernel takes the longer form if what it does
// not know is zero.
struct Ruleset {
  uint64_t files = 0, network = 0, scopes = 0;
};

}  // namespace

int LandlockAbi() {
  const long abi =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return abi > 0 ? static_cast<int>(abi) : 0;
}

absl::StatusOr<bool> RestrictFileAccess(const std::vector<LandlockRule>& rules) {
  const int abi = LandlockAbi();
  if (abi < kLeastAbi) return false;
  uint64_t read = 0, write = 0;
  Ruleset ruleset;
  for (const AccessGroup& group : kAccess) {
    if (abi < group.abi) continue;
    read |= group.read;
    write |= group.write;
    ruleset.files |= group.read | group.write | group.never;
  }
  if (abi >= kNetworkAbi) ruleset.network = kBindTcp;
  if (abi >= kScopeAbi) ruleset.scopes = kAllScopes;
  const UniqueFd fd(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset), 0)));
  if (!fd.valid()) return ErrnoStatus("landlock_create_ruleset", "this process");
  for (const LandlockRule& rule : rules) {
    const landlock_path_beneath_attr beneath = {
        .allowed_access = rule.writable ? read | write : read, .parent_fd = rule.directory};
    if (::syscall(SYS_landlock_add_rule, fd.get(), LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) != 0)
      return ErrnoStatus("landlock_add_rule", "this process");
  }
  if (::syscall(SYS_landlock_restrict_self, fd.get(), 0) != 0)
    return ErrnoStatus("landlock_restrict_self", "this process");
  return true;
}

}  // namespace berth
