// AppArmor: which profiles the kernel has, and Berth's own default one. apparmor(7),
// apparmor_parser(8).
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/kernel/lsm.h"

namespace berth {

inline constexpr absl::string_view kAppArmorDefault = "berth-default";

// By the list of loaded profiles in securityfs.
absl::StatusOr<bool> AppArmorProfileIsLoaded(const LsmPaths& paths, absl::string_view profile);

// The text of the default profile, as apparmor_parser takes it.
std::string AppArmorDefaultProfile();

// Loads the default profile with apparmor_parser unless the kernel has it. FailedPrecondition: no
// parser, or it refused (its words are in the message). Blocks for up to 30 s.
absl::Status EnsureAppArmorDefault(const LsmPaths& paths = {});

struct AppArmorRequest {
  ProfileKind kind = ProfileKind::kUnset;
  std::string profile;  // kLocalhost
  bool privileged = false;
};

// The profile to exec into; "" leaves the process unconfined. What is asked for by name and cannot
// be had is FailedPrecondition: a process is never confined less than asked. kUnset is the default
// profile where the kernel has AppArmor and nothing elsewhere; privileged is nothing.
absl::StatusOr<std::string> ResolveAppArmor(const AppArmorRequest& request, const LsmFacts& facts,
                                            const LsmPaths& paths = {});

}  // namespace berth
