// The daemon's data directory: held by one daemon, and the database in it.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "src/base/log.h"
#include "src/base/unique_fd.h"
#include "src/store/database.h"

namespace berth {

// One daemon to a data directory; the lock goes with the process, and with the helpers that one
// which was killed had begun to start: they have its descriptors until their exec. Waits for those
// for two seconds; AlreadyExists, with the other's pid, after that.
absl::StatusOr<UniqueFd> LockDataDir(const std::string& data_dir);

// One that is damaged is kept aside; one that is new is filled with what the disk tells. (Images do
// so themselves.)
absl::StatusOr<std::unique_ptr<Database>> OpenDatabase(const std::string& data_dir, const Log& log);

}  // namespace berth
