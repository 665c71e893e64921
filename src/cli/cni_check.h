// The node's CNI configurations, as `berth doctor` looks at them.
#pragma once

#include "src/cli/node_checks.h"

namespace berth::cli {

// The files of facts.cni_conf_dir in the order that berthd takes them, and whether each plugin that
// the first good one names is in facts.cni_bin_dirs.
Finding CheckCni(const NodeFacts& facts);

}  // namespace berth::cli
