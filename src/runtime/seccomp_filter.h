// Rules become a BPF program, by libseccomp. Milliseconds: callers keep what they get.
#pragma once

#include "absl/status/statusor.h"
#include "src/runtime/seccomp_rules.h"
#include "src/runtime/spec.h"

namespace berth {

// InvalidArgument: rules that contradict each other, or a program longer than the kernel takes
// (BPF_MAXINSNS). The listener is part of the result only if a rule notifies.
absl::StatusOr<SeccompProgram> CompileSeccompRules(const SeccompRules& rules);

}  // namespace berth
