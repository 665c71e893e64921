// A seccomp profile as a value: what the default table and a profile file both become, and what the
// compiler (seccomp_filter.h) and the OCI JSON writer (seccomp_json.h) take. Actions, comparisons
// and architectures are libseccomp's numbers (seccomp_rule_add(3), seccomp_arch_add(3)).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace berth {

// One condition on an argument. SCMP_CMP_MASKED_EQ: (argument & value) == value_two.
struct SeccompArgument {
  uint32_t index = 0;  // 0 to 5
  uint32_t op = 0;     // SCMP_CMP_*
  uint64_t value = 0, value_two = 0;
};

struct SeccompRule {
  std::vector<std::string> names;
  uint32_t action = 0;                     // SCMP_ACT_*, with its errno
  std::vector<SeccompArgument> arguments;  // all must hold; two on one index: either of all
};

struct SeccompRules {
  uint32_t default_action = 0;           // SCMP_ACT_*
  uint32_t bad_architecture_action = 0;  // for calls through an architecture that is not listed
  std::vector<uint32_t> architectures;   // SCMP_ARCH_*; the machine's own is always meant
  uint32_t flags = 0;                    // SECCOMP_FILTER_FLAG_*
  std::string listener_path, listener_metadata;
  std::vector<SeccompRule> rules;
  // Every name that the profile mentions, those in rules that do not apply here included: calls
  // newer than all of them answer ENOSYS where the default action is an errno.
  std::vector<std::string> known_names;
  bool enosys_above_known = false;

  bool Notifies() const;  // some rule has SCMP_ACT_NOTIFY
};

}  // namespace berth
