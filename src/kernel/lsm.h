// Which Linux security modules label processes on this node, and where their files are. The labels
// themselves: apparmor.h, selinux.h.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace berth {

// Where things are; tests put a directory tree here.
struct LsmPaths {
  std::string securityfs = "/sys/kernel/security";
  std::string module_parameters = "/sys/module";
  std::string selinuxfs = "/sys/fs/selinux";
  std::string selinux_etc = "/etc/selinux";
  std::string apparmor_parser;  // "": the first of the usual places
};

struct LsmFacts {
  bool apparmor = false;  // built in and enabled
  bool selinux = false;   // selinuxfs is mounted and a policy is loaded
  bool selinux_enforcing = false;
};

// A kernel without either is no error.
absl::StatusOr<LsmFacts> ReadLsmFacts(const LsmPaths& paths = {});

// How a container or pod asks to be confined (SecurityProfile of the CRI).
enum class ProfileKind { kUnset, kRuntimeDefault, kUnconfined, kLocalhost };

}  // namespace berth
