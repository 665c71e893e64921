// Files in memory that nobody can change any more (memfd_create(2), F_ADD_SEALS in fcntl(2)).
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/unique_fd.h"

namespace berth {

// With these contents, its position at their beginning. `name` is what /proc/PID/fd and errors
// show.
absl::StatusOr<UniqueFd> SealedMemory(const char* name, absl::string_view contents);

// For a file of memfd_create(MFD_ALLOW_SEALING): neither its contents nor its size nor its seals
// change from now on. The kernel refuses that (EBUSY) while somebody holds one of its pages, as its
// own reclaim, migration and sampling do for moments: tried again, for seconds.
absl::Status SealMemory(int file, absl::string_view name);

}  // namespace berth
