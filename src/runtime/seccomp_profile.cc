#include "src/runtime/seccomp_profile.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/runtime/seccomp_default.h"
#include "src/runtime/seccomp_filter.h"
#include "src/runtime/seccomp_json.h"

namespace berth {
namespace {

absl::StatusOr<SeccompRules> ParseForThisHost(absl::string_view json, uint64_t capabilities) {
  utsname name = {};
  if (uname(&name) != 0) return ErrnoStatus("uname", "kernel release");
  SeccompHost host{.capabilities = capabilities};
  if (std::sscanf(name.release, "%u.%u", &host.kernel_major, &host.kernel_minor) != 2)
    return absl::InternalError(absl::StrCat("uname ", name.release, ": not a kernel release"));
  return ParseSeccompJson(json, host);
}

absl::Status BadFile(const std::string& path, absl::string_view cause) {
  return absl::InvalidArgumentError(absl::StrCat("seccomp profile ", path, ": ", cause));
}

}  // namespace

absl::StatusOr<SeccompProgram> CompileDefaultSeccompProfile(uint64_t capabilities) {
  return CompileSeccompRules(DefaultSeccompRules(capabilities));
}

absl::StatusOr<SeccompProgram> CompileSeccompProfile(absl::string_view json,
                                                     uint64_t capabilities) {
  ASSIGN_OR_RETURN(const SeccompRules rules, ParseForThisHost(json, capabilities));
  return CompileSeccompRules(rules);
}

absl::StatusOr<std::string> OciDefaultSeccompJson(uint64_t capabilities) {
  return WriteSeccompJson(DefaultSeccompRules(capabilities));
}

absl::StatusOr<std::string> OciSeccompJson(absl::string_view json, uint64_t capabilities) {
  ASSIGN_OR_RETURN(const SeccompRules rules, ParseForThisHost(json, capabilities));
  return WriteSeccompJson(rules);
}

absl::StatusOr<std::string> ReadSeccompProfile(const std::string& path) {
  if (path.empty() || path[0] != '/') return BadFile(path, "not an absolute path");
  if (path.find('\0') != std::string::npos) return BadFile(path.c_str(), "a NUL in the path");
  // Non-blocking: a fifo must not hold the caller until it is known to be one.
  const absl::StatusOr<UniqueFd> file = OpenFile(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file.ok()) return BadFile(path, file.status().message());
  struct stat info;
  if (fstat(file->get(), &info) != 0) return ErrnoStatus("stat", path);
  if (!S_ISREG(info.st_mode)) return BadFile(path, "not a regular file");
  const absl::StatusOr<std::string> text = ReadFd(file->get(), kSeccompProfileMaxBytes, path);
  if (!text.ok()) return BadFile(path, text.status().message());
  if (text->find_first_not_of(" \t\r\n") == std::string::npos) return BadFile(path, "empty");
  return *text;
}

absl::StatusOr<SeccompProgram> SeccompCache::Find(const std::string& json, uint64_t capabilities) {
  const std::pair<std::string, uint64_t> key(json, capabilities);
  {
    absl::MutexLock lock(&mu_);
    if (const auto found = programs_.find(key); found != programs_.end()) {
      found->second.used = ++uses_;
      return found->second.program;
    }
  }
  // Not under the lock: a large profile takes long, and two that compile the same agree.
  absl::StatusOr<SeccompProgram> compiled = json.empty()
                                                ? CompileDefaultSeccompProfile(capabilities)
                                                : CompileSeccompProfile(json, capabilities);
  RETURN_IF_ERROR(compiled.status());
  absl::MutexLock lock(&mu_);
  if (programs_.size() >= kKept) {
    programs_.erase(std::min_element(
        programs_.begin(), programs_.end(),
        [](const auto& a, const auto& b) { return a.second.used < b.second.used; }));
  }
  programs_[key] = {.program = *compiled, .used = ++uses_};
  return compiled;
}

absl::StatusOr<SeccompProgram> SeccompCache::Default(uint64_t capabilities) {
  return Find("", capabilities);
}

absl::StatusOr<SeccompProgram> SeccompCache::Localhost(const std::string& path,
                                                       uint64_t capabilities) {
  ASSIGN_OR_RETURN(const std::string text, ReadSeccompProfile(path));
  absl::StatusOr<SeccompProgram> program = Find(text, capabilities);
  if (!program.ok()) return Annotate(program.status(), path);
  return program;
}

}  // namespace berth
