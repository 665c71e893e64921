#include "src/image/pull/adopt.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/image/layer_lookup.h"
#include "src/image/pull/layer_path.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

absl::Status CopyAttributes(const struct stat& from, int to, const std::string& path) {
  if (::fchown(to, from.st_uid, from.st_gid) != 0) return EntryError("chown", path);
  if (::fchmod(to, from.st_mode & 07777) != 0) return EntryError("chmod", path);
  const timespec times[2] = {from.st_mtim, from.st_mtim};
  if (::futimens(to, times) != 0) return EntryError("utimens", path);
  return absl::OkStatus();
}

}  // namespace

absl::Status AdoptDirectories(int layer, const std::vector<std::string>& implied,
                              const std::vector<int>& below) {
  for (const std::string& path : implied) {
    absl::StatusOr<UniqueFd> place = OpenLayerDir(layer, path);
    if (!place.ok()) continue;  // a later entry of the layer replaced it
    ASSIGN_OR_RETURN(const LayerEntry entry, FindInLayers(below, path));
    if (entry.kind == LayerEntry::Kind::kAbsent) continue;
    if (entry.kind == LayerEntry::Kind::kBehindSymlink || S_ISLNK(entry.st.st_mode)) {
      return absl::UnimplementedError(absl::StrCat(
          "unpack ", EscapeForLog(path), ": a symbolic link of a lower layer is in the way"));
    }
    if (!S_ISDIR(entry.st.st_mode)) continue;
    ASSIGN_OR_RETURN(UniqueFd directory, OpenFile(place->get(), ".", O_RDONLY | O_DIRECTORY));
    RETURN_IF_ERROR(CopyAttributes(entry.st, directory.get(), path));
  }
  return absl::OkStatus();
}

}  // namespace berth
