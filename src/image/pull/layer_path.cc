#include "src/image/pull/layer_path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"

namespace berth {

absl::Status RefuseEntry(absl::string_view path, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("unpack ", EscapeForLog(path.substr(0, 512)), ": ", why));
}

absl::Status TooMuch(absl::string_view path, absl::string_view why) {
  return absl::ResourceExhaustedError(
      absl::StrCat("unpack ", EscapeForLog(path.substr(0, 512)), ": ", why));
}

absl::Status EntryError(absl::string_view call, absl::string_view path) {
  const int error = errno;
  return ErrnoStatus(call, EscapeForLog(path.substr(0, 512)), error);
}

absl::StatusOr<std::vector<absl::string_view>> SplitLayerPath(absl::string_view path,
                                                              const PathLimits& limits) {
  if (path.size() > limits.path_bytes)
    return TooMuch(path, absl::StrCat("the path is longer than ", limits.path_bytes, " bytes"));
  std::vector<absl::string_view> components;
  for (absl::string_view component : absl::StrSplit(path, '/')) {
    if (component.empty() || component == ".") continue;
    if (component == "..") return RefuseEntry(path, "the path leads out of the layer");
    if (component.size() > limits.name_bytes)
      return TooMuch(path, absl::StrCat("a name is longer than ", limits.name_bytes, " bytes"));
    components.push_back(component);
  }
  if (components.size() > limits.depth + 1) {
    return TooMuch(path,
                   absl::StrCat("directories are nested deeper than ", limits.depth, " levels"));
  }
  return components;
}

std::string JoinLayerPath(absl::Span<const absl::string_view> components, size_t count) {
  std::string path;
  for (size_t i = 0; i < count; ++i) absl::StrAppend(&path, i == 0 ? "" : "/", components[i]);
  return path;
}

absl::StatusOr<UniqueFd> OpenLayerDir(int root, const std::string& path, Links links) {
  struct open_how how = {};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  if (links == Links::kRefuse) how.resolve |= RESOLVE_NO_SYMLINKS;
  const char* const name = path.empty() ? "." : path.c_str();
  UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, root, name, &how, sizeof(how))));
  if (!fd.valid()) return EntryError("openat2", path);
  return fd;
}

}  // namespace berth
