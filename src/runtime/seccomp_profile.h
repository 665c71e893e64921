// Seccomp profiles as programs for seccomp(2): the default one and profile files (Localhost of the
// CRI), for x86-64, i386 and x32 (or arm64 and arm). Compiling takes milliseconds, loading a tenth
// of one: programs are kept.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "src/runtime/spec.h"

namespace berth {

// `capabilities` is the set that the process holds: bit n is capability n. A returned program
// always has a filter.
absl::StatusOr<SeccompProgram> CompileDefaultSeccompProfile(uint64_t capabilities);
absl::StatusOr<SeccompProgram> CompileSeccompProfile(absl::string_view json, uint64_t capabilities);

// The text of a profile file. InvalidArgument names the path: not absolute, missing, no regular
// file, empty, longer than kSeccompProfileMaxBytes.
absl::StatusOr<std::string> ReadSeccompProfile(const std::string& path);

// The same profiles as linux.seccomp of an OCI config.json, for other runtimes; includes and
// excludes are decided.
absl::StatusOr<std::string> OciDefaultSeccompJson(uint64_t capabilities);
absl::StatusOr<std::string> OciSeccompJson(absl::string_view json, uint64_t capabilities);

// Thread-safe. Programs of profile files are kept by content, so an edited file is compiled anew;
// the least recently used of more than kKept is dropped.
class SeccompCache {
 public:
  static constexpr size_t kKept = 256;

  absl::StatusOr<SeccompProgram> Default(uint64_t capabilities);
  // Reads the file each time, as ReadSeccompProfile.
  absl::StatusOr<SeccompProgram> Localhost(const std::string& path, uint64_t capabilities);

 private:
  struct Kept {
    SeccompProgram program;
    uint64_t used = 0;
  };
  absl::StatusOr<SeccompProgram> Find(const std::string& json, uint64_t capabilities);

  absl::Mutex mu_;
  uint64_t uses_ ABSL_GUARDED_BY(mu_) = 0;
  // By profile text ("" is the default) and capabilities.
  absl::flat_hash_map<std::pair<std::string, uint64_t>, Kept> programs_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth
