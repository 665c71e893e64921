#include "src/sandbox/mount_points.h"

#include <fcntl.h>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/sandbox/pod_files.h"

namespace berth {

absl::Status MakeMountPoints(const std::string& data_dir) {
  const std::string root = absl::StrCat(data_dir, "/", kMountPoints);
  for (const char* directory : {"/dev", "/etc", "/proc", "/sys"}) {
    RETURN_IF_ERROR(MakeDirs(root + directory, 0755));
  }
  return ReservePodFiles(root + "/etc");
}

}  // namespace berth
