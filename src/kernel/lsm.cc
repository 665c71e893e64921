#include "src/kernel/lsm.h"

#include <fcntl.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

// "" for a file that is not there.
absl::StatusOr<std::string> ReadWord(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFileAt(AT_FDCWD, path, 4096);
  if (absl::IsNotFound(text.status())) return std::string();
  RETURN_IF_ERROR(text.status());
  return std::string(absl::StripAsciiWhitespace(*text));
}

}  // namespace

absl::StatusOr<LsmFacts> ReadLsmFacts(const LsmPaths& paths) {
  ASSIGN_OR_RETURN(const std::string apparmor,
                   ReadWord(absl::StrCat(paths.module_parameters, "/apparmor/parameters/enabled")));
  ASSIGN_OR_RETURN(const std::string enforce, ReadWord(absl::StrCat(paths.selinuxfs, "/enforce")));
  // selinuxfs is there before a policy is: until one is loaded, nothing has a label, and the
  // context of the kernel is the word "kernel".
  ASSIGN_OR_RETURN(const std::string kernel,
                   ReadWord(absl::StrCat(paths.selinuxfs, "/initial_contexts/kernel")));
  return LsmFacts{.apparmor = apparmor == "Y",
                  .selinux = !enforce.empty() && absl::StrContains(kernel, ':'),
                  .selinux_enforcing = enforce == "1"};
}

}  // namespace berth
