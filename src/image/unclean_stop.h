// Tells at start whether the layers may have been damaged: the last run did not end by itself and
// the machine was started anew since (I-08, docs/reliability.md). The end of the process alone
// damages nothing, since what it wrote is the kernel's. Kept as the value "layers" of the table
// `node`: the boot id of a run, "unverified" while a verification is due, "" after a clean end.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/store/database.h"

namespace berth {

class UncleanStop {
 public:
  // Marks that a run has begun in the boot `boot_id` (proc_sys_kernel(5), random/boot_id).
  static absl::StatusOr<UncleanStop> Begin(Database& database, std::string boot_id);

  // Makes a verification due, before Begin.
  static absl::Status MarkUnverified(Database& database);

  bool verification_due() const { return due_; }
  absl::Status Verified(Database& database);
  absl::Status End(Database& database) const;

 private:
  UncleanStop(std::string boot_id, bool due) : boot_id_(std::move(boot_id)), due_(due) {}

  std::string boot_id_;
  bool due_;
};

}  // namespace berth
