// The grammar of seccomp profiles: linux.seccomp of the OCI runtime specification
// (config-linux.md, "Seccomp") and the wider one of Docker's profile files (archMap, includes,
// excludes, name). Pure.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/runtime/seccomp_rules.h"

namespace berth {

inline constexpr size_t kSeccompProfileMaxBytes = 1 << 20;

// What includes and excludes of a profile are compared with.
struct SeccompHost {
  uint64_t capabilities = 0;  // of the process: bit n is capability n
  uint32_t kernel_major = 0, kernel_minor = 0;
};

// The rules of a profile that apply on this host. Strict: a key, action, operator, architecture,
// flag or capability that the grammar does not have is InvalidArgument with its place in the text.
// Names of system calls that libseccomp does not know stay in the rules: the compiler leaves them
// out, as profiles are written for many kernels.
absl::StatusOr<SeccompRules> ParseSeccompJson(absl::string_view text, const SeccompHost& host);

// linux.seccomp of an OCI config.json.
std::string WriteSeccompJson(const SeccompRules& rules);

}  // namespace berth
