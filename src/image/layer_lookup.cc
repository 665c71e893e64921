#include "src/image/layer_lookup.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <cerrno>
#include <optional>

#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

using Kind = LayerEntry::Kind;

bool IsOpaque(int dir) {
  char value[2];
  return ::fgetxattr(dir, "trusted.overlay.opaque", value, sizeof(value)) == 1 && value[0] == 'y';
}

// nullopt: this layer says nothing, ask the one below.
absl::StatusOr<std::optional<LayerEntry>> FindInLayer(int layer,
                                                      const std::vector<std::string>& components) {
  ASSIGN_OR_RETURN(UniqueFd dir, OpenDir(layer, "."));
  bool opaque = false;
  for (size_t i = 0; i < components.size(); ++i) {
    opaque = opaque || IsOpaque(dir.get());
    struct stat st;
    if (::fstatat(dir.get(), components[i].c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno != ENOENT) return ErrnoStatus("stat", components[i]);
      if (opaque) return LayerEntry{};
      return std::nullopt;
    }
    if (IsWhiteoutNode(st)) return LayerEntry{};
    if (i + 1 == components.size()) {
      return LayerEntry{
          .kind = Kind::kPresent, .parent = std::move(dir), .name = components[i], .st = st};
    }
    if (S_ISLNK(st.st_mode)) return LayerEntry{.kind = Kind::kBehindSymlink};
    if (!S_ISDIR(st.st_mode)) return LayerEntry{};
    ASSIGN_OR_RETURN(dir, OpenFile(dir.get(), components[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  }
  return LayerEntry{};
}

}  // namespace

bool IsWhiteoutNode(const struct stat& st) {
  return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
}

absl::StatusOr<LayerEntry> FindInLayers(const std::vector<int>& layers, absl::string_view path) {
  const std::vector<std::string> components = absl::StrSplit(path, '/', absl::SkipEmpty());
  if (components.empty()) return absl::InvalidArgumentError("find in layers: empty path");
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    ASSIGN_OR_RETURN(std::optional<LayerEntry> entry, FindInLayer(*layer, components));
    if (entry.has_value()) return *std::move(entry);
  }
  return LayerEntry{};
}

}  // namespace berth
