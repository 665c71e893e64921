// Cgroups: which devices may be used.
#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/kernel/cgroup.h"

namespace berth {

absl::Status Cgroups::RestrictDevices(const std::string& path,
                                      const std::vector<DeviceRule>& more) const {
  ASSIGN_OR_RETURN(const DevicePolicy policy, MakeDevicePolicy(more));
  if (mode_ == Mode::kV2) {
    const Hierarchy& unified = hierarchies_.front();
    ASSIGN_OR_RETURN(const UniqueFd fd, unified.OpenDir(path));
    return Annotate(AttachDeviceFilter(fd.get(), policy), unified.NameOf(path));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> lines, DeviceLinesV1(policy));
  const Hierarchy* devices = Find("devices");
  if (devices == nullptr) return absl::OkStatus();
  const std::string list = "/devices.list", allow = "/devices.allow", deny = "/devices.deny";
  if (policy.allow_all) {
    // A cgroup that was not restricted yet has its parent's rules, and cannot have more: where that
    // is itself restricted, "a" is refused.
    ASSIGN_OR_RETURN(const std::string own, devices->Read(path + list));
    ASSIGN_OR_RETURN(const std::string parents,
                     devices->Read(path.substr(0, path.rfind('/')) + list));
    if (own != parents) RETURN_IF_ERROR(devices->Write(path + allow, "a"));
  } else {
    RETURN_IF_ERROR(devices->Write(path + deny, "a"));
  }
  // One write for each: the kernel reads one rule a write.
  ASSIGN_OR_RETURN(const UniqueFd fd,
                   devices->OpenFile(path + (policy.allow_all ? deny : allow), O_WRONLY));
  for (const std::string& line : lines) {
    if (::write(fd.get(), line.data(), line.size()) < 0) {
      return ErrnoStatus(absl::StrCat("write \"", line, "\" to"),
                         devices->NameOf(path + (policy.allow_all ? deny : allow)));
    }
  }
  return absl::OkStatus();
}

}  // namespace berth
