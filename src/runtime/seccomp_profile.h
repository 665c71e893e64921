// The default seccomp profile as BPF, compiled with libseccomp for x86-64, i386 and x32 (or arm64
// and arm). Compiling takes milliseconds, loading a tenth of one: programs are kept for each set of
// capabilities.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace berth {

// The filter of a process that holds `capabilities` (bit n is capability n), as an array of struct
// sock_filter.
absl::StatusOr<std::string> CompileDefaultSeccompProfile(uint64_t capabilities);

// Thread-safe.
class SeccompCache {
 public:
  absl::StatusOr<std::string> Default(uint64_t capabilities);

 private:
  absl::Mutex mu_;
  absl::flat_hash_map<uint64_t, std::string> programs_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth
