// Rows of pods and containers for a database that was lost, from what lies in their directories.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "src/base/log.h"
#include "src/store/database.h"

namespace berth {

// `database` has no rows of them yet. Before networks and pods are opened. What cannot be read is
// left out, and swept as an orphan later. ResourceExhausted: there is no room for all of them.
absl::Status RebuildPodRows(const std::string& data_dir, Database& database, const Log& log);

}  // namespace berth
