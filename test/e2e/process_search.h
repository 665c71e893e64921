// Processes of this node.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/functional/function_ref.h"

namespace berth::e2e {

void ForEachProcess(absl::FunctionRef<void(pid_t pid, const std::string& command)> visit);

// One whose command line has `word`; 0 if there is none.
pid_t ProcessWith(const std::string& word);

}  // namespace berth::e2e
