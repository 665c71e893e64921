#include "src/runtime/capabilities.h"

#include <sys/capability.h>
#include <sys/prctl.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

constexpr uint64_t Bit(int capability) { return uint64_t{1} << capability; }

uint64_t AllCapabilities() { return (uint64_t{1} << cap_max_bits()) - 1; }

absl::StatusOr<uint64_t> Parse(const std::string& name) {
  std::string lower = absl::AsciiStrToLower(name);
  if (!absl::StartsWith(lower, "cap_")) lower = absl::StrCat("cap_", lower);
  cap_value_t value;
  // cap_from_name also takes numbers, and what follows a name behind a ',' or a blank; the CRI
  // gives one name.
  const bool word = std::all_of(name.begin(), name.end(),
                                [](char c) { return absl::ascii_isalnum(c) || c == '_'; });
  if (!word || absl::ascii_isdigit(name.empty() ? '0' : name[0]) ||
      cap_from_name(lower.c_str(), &value) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("capabilities: unknown capability \"", name, "\""));
  }
  return Bit(value);
}

bool IsAll(const std::string& name) { return absl::EqualsIgnoreCase(name, "ALL"); }

}  // namespace

uint64_t DefaultCapabilities() {
  return Bit(CAP_CHOWN) | Bit(CAP_DAC_OVERRIDE) | Bit(CAP_FSETID) | Bit(CAP_FOWNER) |
         Bit(CAP_MKNOD) | Bit(CAP_NET_RAW) | Bit(CAP_SETGID) | Bit(CAP_SETUID) | Bit(CAP_SETFCAP) |
         Bit(CAP_SETPCAP) | Bit(CAP_NET_BIND_SERVICE) | Bit(CAP_SYS_CHROOT) | Bit(CAP_KILL) |
         Bit(CAP_AUDIT_WRITE);
}

absl::StatusOr<uint64_t> ResolveCapabilities(const std::vector<std::string>& add,
                                             const std::vector<std::string>& drop) {
  uint64_t set = DefaultCapabilities();
  if (std::any_of(add.begin(), add.end(), IsAll)) set = AllCapabilities();
  if (std::any_of(drop.begin(), drop.end(), IsAll)) set = 0;
  for (const std::string& name : add) {
    if (IsAll(name)) continue;
    ASSIGN_OR_RETURN(const uint64_t bit, Parse(name));
    set |= bit;
  }
  for (const std::string& name : drop) {
    if (IsAll(name)) continue;
    ASSIGN_OR_RETURN(const uint64_t bit, Parse(name));
    set &= ~bit;
  }
  return set;
}

uint64_t HeldCapabilities() {
  uint64_t held = 0;
  for (int capability = 0; capability < 64; ++capability) {
    const int is_held = prctl(PR_CAPBSET_READ, capability);
    if (is_held < 0) break;  // EINVAL: beyond the last one that this kernel knows
    if (is_held == 1) held |= Bit(capability);
  }
  return held;
}

std::vector<std::string> CapabilityList(uint64_t set) {
  std::vector<std::string> names;
  for (int capability = 0; capability < 64; ++capability) {
    if ((set >> capability & 1) == 0) continue;
    char* name = cap_to_name(capability);
    if (name == nullptr) continue;
    names.push_back(absl::AsciiStrToUpper(name));
    cap_free(name);
  }
  return names;
}

std::string CapabilityNames(uint64_t set) { return absl::StrJoin(CapabilityList(set), ","); }

}  // namespace berth
