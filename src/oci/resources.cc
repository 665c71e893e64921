// pause, resume, update.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/oci/commands.h"
#include "src/oci/create.h"
#include "src/oci/oci_config.h"
#include "src/runtime/oci_resources.h"

namespace berth::oci {
namespace {

// What the cgroup is limited to now: as created, or as the last update wrote it down.
constexpr char kLimitsFile[] = "/limits";

absl::StatusOr<CgroupLimits> PresentLimits(const Runtime& runtime, const ContainerState& state) {
  const absl::StatusOr<std::string> written =
      ReadFileAt(AT_FDCWD, runtime.states.PathOf(state.id) + kLimitsFile);
  if (written.ok()) return ParseOciResources(*written);
  ASSIGN_OR_RETURN(const OciConfig config, StoredConfig(runtime, state));
  return config.limits;
}

absl::StatusOr<CgroupLimits> Changes(const UpdateOptions& options) {
  if (options.resources_file.empty()) return options.limits;
  absl::StatusOr<std::string> text =
      options.resources_file == "-" ? ReadFd(STDIN_FILENO, kConfigMaxBytes, "stdin")
                                    : ReadFileAt(AT_FDCWD, options.resources_file, kConfigMaxBytes);
  RETURN_IF_ERROR(text.status());
  ASSIGN_OR_RETURN(CgroupLimits limits, ParseOciResources(*text));
  return OverriddenLimits(std::move(limits), options.limits);
}

}  // namespace

absl::Status Freeze(const Runtime& runtime, const std::string& id, bool frozen) {
  ASSIGN_OR_RETURN(const ContainerState state, runtime.states.Read(id));
  const char* const verb = frozen ? "pause " : "resume ";
  const ContainerStatus wanted = frozen ? ContainerStatus::kRunning : ContainerStatus::kPaused;
  const ContainerStatus status = FullStatus(runtime, state);
  if (status != wanted) {
    return absl::FailedPreconditionError(
        absl::StrCat(verb, id, ": it is ", StatusName(status), ", not ", StatusName(wanted)));
  }
  ASSIGN_OR_RETURN(const Cgroups cgroups, Cgroups::Detect());
  ASSIGN_OR_RETURN(const CgroupHandle cgroup, cgroups.Open(state.cgroup_path));
  if (!cgroup.unified)
    return absl::FailedPreconditionError(absl::StrCat(verb, id, ": needs a cgroup2 mount"));
  RETURN_IF_ERROR(WriteFileAt(cgroup.directory.get(), "cgroup.freeze", frozen ? "1" : "0"));
  if (!frozen) return absl::OkStatus();
  // The kernel tells by a change of cgroup.events when all of them stand still.
  ASSIGN_OR_RETURN(const UniqueFd events,
                   OpenFile(cgroup.directory.get(), "cgroup.events", O_RDONLY));
  while (true) {
    char text[256];
    const ssize_t n = ::pread(events.get(), text, sizeof(text), 0);
    if (n < 0) return ErrnoStatus("read cgroup.events of", id);
    if (absl::string_view(text, static_cast<size_t>(n)).find("frozen 1") != absl::string_view::npos)
      return absl::OkStatus();
    pollfd change = {.fd = events.get(), .events = POLLPRI};
    if (::poll(&change, 1, 10'000) == 0)
      return absl::DeadlineExceededError(absl::StrCat(verb, id, ": its processes do not freeze"));
  }
}

absl::Status Update(const Runtime& runtime, const UpdateOptions& options) {
  ASSIGN_OR_RETURN(const ContainerState state, runtime.states.Read(options.id));
  ASSIGN_OR_RETURN(const CgroupLimits changes, Changes(options));
  ASSIGN_OR_RETURN(const CgroupLimits from, PresentLimits(runtime, state));
  const CgroupLimits to = OverriddenLimits(from, changes);
  ASSIGN_OR_RETURN(const Cgroups cgroups, Cgroups::Detect());
  RETURN_IF_ERROR(cgroups.UpdateLimits(state.cgroup_path, from, to));
  return ReplaceFileAt(AT_FDCWD, runtime.states.PathOf(state.id) + kLimitsFile,
                       OciLimits(to).dump(), 0600);
}

}  // namespace berth::oci
