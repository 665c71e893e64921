// ReadImageFile and ImageHasDirectory (user.h): one path through the layer directories.
#include <fcntl.h>

#include "src/base/status_macros.h"
#include "src/image/layer_lookup.h"
#include "src/image/user.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr size_t kMaxFile = 1 << 20;

absl::StatusOr<LayerEntry> FindInImage(int data_dir_fd, const std::vector<std::string>& layers,
                                       absl::string_view path) {
  std::vector<UniqueFd> open;
  std::vector<int> fds;
  for (const std::string& layer : layers) {
    ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(data_dir_fd, layer, O_PATH | O_DIRECTORY | O_NOFOLLOW));
    fds.push_back(fd.get());
    open.push_back(std::move(fd));
  }
  return FindInLayers(fds, path);
}

}  // namespace

absl::StatusOr<std::string> ReadImageFile(int data_dir_fd, const std::vector<std::string>& layers,
                                          absl::string_view path) {
  ASSIGN_OR_RETURN(const LayerEntry entry, FindInImage(data_dir_fd, layers, path));
  if (entry.kind != LayerEntry::Kind::kPresent || !S_ISREG(entry.st.st_mode)) return "";
  ASSIGN_OR_RETURN(UniqueFd file,
                   OpenFile(entry.parent.get(), entry.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  return ReadFd(file.get(), kMaxFile, path);
}

absl::StatusOr<bool> ImageHasDirectory(int data_dir_fd, const std::vector<std::string>& layers,
                                       absl::string_view path) {
  ASSIGN_OR_RETURN(const LayerEntry entry, FindInImage(data_dir_fd, layers, path));
  return entry.kind == LayerEntry::Kind::kPresent && S_ISDIR(entry.st.st_mode);
}

}  // namespace berth
