#include "src/sandbox/rebuild.h"

#include <fcntl.h>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/sandbox/record_file.h"
#include "src/store/addresses.h"

namespace berth {
namespace {

absl::Status RebuildPod(const std::string& directory, Database& database) {
  ASSIGN_OR_RETURN(const PodRecordFile pod, ReadPodRecordFile(directory));
  RETURN_IF_ERROR(InsertPod(database, pod.row));
  RETURN_IF_ERROR(InsertAddressRows(database, pod.row.id, pod.addresses));
  return pod.attachment.has_value() ? InsertAttachment(database, *pod.attachment)
                                    : absl::OkStatus();
}

absl::Status RebuildContainer(const std::string& directory, Database& database) {
  ASSIGN_OR_RETURN(const ContainerRow container, ReadContainerRecordFile(directory));
  return InsertContainer(database, container);
}

}  // namespace

absl::Status RebuildPodRows(const std::string& data_dir, Database& database, const Log& log) {
  struct Kind {
    const char* name;
    absl::Status (*rebuild)(const std::string& directory, Database& database);
  };
  // A container's row refers to its pod's.
  for (const Kind& kind : {Kind{"pods", RebuildPod}, Kind{"containers", RebuildContainer}}) {
    const absl::StatusOr<std::vector<std::string>> names =
        ListDir(AT_FDCWD, absl::StrCat(data_dir, "/", kind.name));
    if (absl::IsNotFound(names.status())) continue;
    RETURN_IF_ERROR(names.status());
    int rebuilt = 0;
    for (const std::string& name : *names) {
      const absl::Status done =
          kind.rebuild(absl::StrCat(data_dir, "/", kind.name, "/", name), database);
      // One that is left out here is ended: not for want of room, which the next start may have.
      if (absl::IsResourceExhausted(done))
        return Annotate(done, absl::StrCat("rebuild record of ", kind.name, "/", name));
      rebuilt += done.ok() ? 1 : 0;
      if (!done.ok())
        log.Error("record not rebuilt",
                  {{"of", kind.name}, {"id", name}, {"error", done.message()}});
    }
    if (rebuilt > 0)
      log.Warning("records rebuilt from disk", {{"of", kind.name}, {"count", rebuilt}});
  }
  return absl::OkStatus();
}

}  // namespace berth
