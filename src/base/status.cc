#include <cstring>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace berth {

absl::Status ErrnoStatus(absl::string_view call, absl::string_view object, int error) {
  const std::string message = absl::StrCat(call, " ", object, ": ", std::strerror(error));
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::ResourceExhaustedError(message);
    default:
      return absl::Status(absl::ErrnoToStatusCode(error), message);
  }
}

absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

}  // namespace berth
