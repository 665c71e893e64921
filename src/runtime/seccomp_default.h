// The default seccomp profile as rules: the tables of seccomp_tables.h and the calls that are
// decided by their arguments. Pure.
#pragma once

#include <cstdint>

#include "src/runtime/seccomp_rules.h"

namespace berth {

// For a process that holds `capabilities` (bit n is capability n).
SeccompRules DefaultSeccompRules(uint64_t capabilities);

}  // namespace berth
