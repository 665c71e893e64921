#include "src/image/pull/verify.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/image/pull/layer_tree.h"
#include "src/image/pull/layer_walk.h"

namespace berth {
namespace {

using Type = TreeEntry::Type;

absl::string_view KindOf(Type type) {
  switch (type) {
    case Type::kDirectory:
      return "a directory";
    case Type::kRegular:
      return "a file";
    case Type::kSymlink:
      return "a symbolic link";
    case Type::kHardLink:
      return "a hard link";
    case Type::kCharDevice:
      return "a character device";
    case Type::kBlockDevice:
      return "a block device";
    case Type::kFifo:
      return "a FIFO";
    case Type::kWhiteout:
      return "a whiteout";
  }
  return "of an unknown kind";
}

// A file system may keep whole seconds only.
bool SameTime(const timespec& written, const timespec& there) {
  return written.tv_sec == there.tv_sec && (written.tv_nsec == there.tv_nsec || there.tv_nsec == 0);
}

std::string XattrDifference(const TreeEntry& written, const TreeEntry& there) {
  for (const auto& [name, value] : written.xattrs) {
    const auto found = there.xattrs.find(name);
    if (found == there.xattrs.end())
      return absl::StrCat("has no extended attribute ", EscapeForLog(name));
    if (found->second != value)
      return absl::StrCat("has another extended attribute ", EscapeForLog(name));
  }
  for (const auto& [name, value] : there.xattrs) {
    if (written.xattrs.count(name) == 0)
      return absl::StrCat("has an extended attribute ", EscapeForLog(name), " of nobody's");
  }
  return "";
}

std::string Number(int64_t there, int64_t written, absl::string_view what) {
  return absl::StrCat("has ", what, " ", there, " instead of ", written);
}

// "" if they are the same.
std::string Difference(const TreeEntry& written, const TreeEntry& there) {
  if (written.type != there.type)
    return absl::StrCat("is ", KindOf(there.type), " instead of ", KindOf(written.type));
  if (written.type == Type::kWhiteout) return "";
  if (written.type == Type::kSymlink && written.link != there.link) return "leads elsewhere";
  if (written.type != Type::kSymlink && written.mode != there.mode)
    return absl::StrFormat("has mode %04o instead of %04o", there.mode, written.mode);
  if (written.uid != there.uid) return Number(there.uid, written.uid, "owner");
  if (written.gid != there.gid) return Number(there.gid, written.gid, "group");
  if (written.device_major != there.device_major || written.device_minor != there.device_minor)
    return "is another device";
  if (written.size != there.size)
    return absl::StrCat("has ", there.size, " bytes instead of ", written.size);
  if (written.sum != there.sum) return "has other content";
  if (std::string xattrs = XattrDifference(written, there); !xattrs.empty()) return xattrs;
  if (written.mtime.has_value() && !SameTime(*written.mtime, *there.mtime))
    return "was changed at another time";
  return "";
}

class Verifier {
 public:
  explicit Verifier(LayerTree tree) : tree_(std::move(tree)) {
    result_.entries = static_cast<int64_t>(tree_.size());
  }

  absl::StatusOr<LayerVerification> Run(int layer) {
    RETURN_IF_ERROR(WalkLayer(layer, [this](const TreeEntry& there, const absl::Status& damage) {
      Compare(there, damage);
      return absl::OkStatus();
    }));
    if (seen_ < tree_.size()) TellMissing();
    return std::move(result_);
  }

 private:
  void Tell(const std::string& path, absl::string_view what) {
    ++result_.differences;
    if (result_.first.size() < kMaxToldDifferences)
      result_.first.push_back({.path = path, .what = std::string(what)});
  }

  // The entry whose inode a name has: the tree and the walk may have begun with different names.
  const TreeEntry* Inode(const std::string& path) const {
    auto found = tree_.find(path);
    for (int i = 0; i < 2 && found != tree_.end(); ++i) {
      if (found->second.type != Type::kHardLink) return &found->second;
      found = tree_.find(found->second.link);
    }
    return nullptr;
  }

  void Compare(const TreeEntry& there, const absl::Status& damage) {
    result_.bytes += there.size;
    const auto found = tree_.find(there.path);
    if (found == tree_.end()) return Tell(there.path, "is in the layer, but not of it");
    ++seen_;
    seen_paths_.insert(&found->second);
    if (!damage.ok()) return Tell(there.path, damage.message());
    const TreeEntry* const written = Inode(there.path);
    if (written == nullptr)
      return Tell(there.path, "is a hard link to what the tree does not have");
    if (there.type == Type::kHardLink) {
      if (Inode(there.link) != written) Tell(there.path, "is a hard link to another file");
      return;
    }
    // Two entries of the tree that were one file, and are two now.
    if (!compared_.insert(written).second) return Tell(there.path, "is no hard link any more");
    if (const std::string what = Difference(*written, there); !what.empty()) Tell(there.path, what);
  }

  void TellMissing() {
    std::vector<std::string> missing;
    for (const auto& [path, entry] : tree_) {
      if (seen_paths_.count(&entry) == 0) missing.push_back(path);
    }
    std::sort(missing.begin(), missing.end());
    for (const std::string& path : missing) Tell(path, "is missing");
  }

  const LayerTree tree_;
  LayerVerification result_;
  size_t seen_ = 0;
  std::set<const TreeEntry*> seen_paths_, compared_;
};

}  // namespace

absl::StatusOr<LayerVerification> VerifyLayer(int layer, int tree_fd) {
  ASSIGN_OR_RETURN(LayerTree tree, ReadLayerTree(tree_fd));
  return Verifier(std::move(tree)).Run(layer);
}

}  // namespace berth
