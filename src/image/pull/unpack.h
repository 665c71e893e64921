// Writes the entries of one layer below a directory, in the form that overlayfs reads: whiteouts
// become character devices 0:0, opaque directories carry trusted.overlay.opaque. Names are opened
// one by one inside that directory and last components are never followed, so nothing leads out of
// it. With a tree it also writes down what lies there. One owner thread; needs root.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/unique_fd.h"
#include "src/image/pull/content_sum.h"
#include "src/image/pull/layer_directories.h"
#include "src/image/pull/layer_needs.h"
#include "src/image/pull/layer_path.h"
#include "src/image/pull/layer_tree.h"
#include "src/image/pull/tar.h"

namespace berth {

struct UnpackLimits {
  int64_t inodes = 2'000'000;
  int64_t entries = 4'000'000;  // names of one file, and those that came twice, count each time
  int64_t bytes = int64_t{128} << 30;  // of files, with their holes
  PathLimits path;
};

struct UnpackStats {
  int64_t size_bytes = 0;  // files rounded up to 4 KiB without holes, directories 4 KiB each
  int64_t inodes = 0;
};

class Unpacker : public TarSink {
 public:
  // `root_fd` is an empty directory; it and `tree` (which may be null) are borrowed. The process's
  // umask must be 0.
  explicit Unpacker(int root_fd, LayerTreeWriter* tree = nullptr, const UnpackLimits& limits = {})
      : tree_(tree), limits_(limits), directories_(root_fd, tree) {}

  // InvalidArgument names the entry: outside of the layer, malformed, or in the way of another one.
  // ResourceExhausted names the one that is beyond a limit.
  absl::Status Begin(const TarEntry& entry) override;
  absl::Status Data(absl::string_view bytes) override;
  absl::Status Hole(int64_t bytes) override;
  absl::Status End() override;

  // After the last entry: sets what only then can stay, the directories' times.
  absl::StatusOr<UnpackStats> Finish();

  // What the archive took for granted of the layers below.
  const LayerNeeds& needs() const { return needs_; }
  // The root is opaque: nothing of the layers below is to be seen.
  bool opaque_root() const { return opaque_root_; }
  // False: the tree was written wrong, as names came more than once or in an odd order. It has to
  // be made anew from the directory (layer_walk.h).
  bool tree_is_good() const { return !directories_.irregular() && needs_.empty(); }

 private:
  struct Place;  // an open parent directory and a name in it

  absl::StatusOr<Place> PlaceOf(const std::vector<absl::string_view>& components);
  absl::Status MakeImpliedDir(int parent, const std::string& name, const std::string& path);
  absl::Status CountInode(absl::string_view path);

  absl::Status Prepare();
  absl::Status BeginAt(const TarEntry& entry, const Place& place);
  absl::Status Whiteout(const Place& place, absl::string_view hidden);
  absl::Status MakeOpaque(const Place& place);
  absl::Status ReplaceExisting(const Place& place);
  absl::Status OpenNew(const TarEntry& entry, const Place& place);
  absl::Status BeginFile(const TarEntry& entry, const Place& place);
  absl::Status MakeDirectory(const TarEntry& entry, const Place& place);
  absl::Status ChangeDirectory(const TarEntry& entry, const Place& place);
  absl::Status MakeSymlink(const TarEntry& entry, const Place& place);
  absl::Status MakeHardLink(const TarEntry& entry, const Place& place);
  absl::StatusOr<int> LinkParent(const std::string& path);
  absl::Status Borrow(const std::string& target, const Place& place);
  absl::StatusOr<bool> LinkToBorrowed(const std::string& first, const Place& place);
  absl::Status MakeNode(const TarEntry& entry, const Place& place);
  absl::Status SetRoot(const TarEntry& entry);
  absl::Status SetNode(const TarEntry& entry, const Place& place);
  absl::Status SetDirectory(int fd, const TarEntry& entry, const std::string& path);
  absl::Status Record(TreeEntry entry);

  LayerTreeWriter* const tree_;
  const UnpackLimits limits_;
  UnpackStats stats_;
  int64_t entries_ = 0, bytes_ = 0, whiteouts_ = 0;
  bool prepared_ = false, opaque_root_ = false;
  LayerDirectories directories_;
  LayerNeeds needs_;
  std::map<std::string, std::string> borrowed_;  // target -> the first link to it
  UniqueFd link_parent_;                         // of the last hard link's target
  std::string link_parent_path_;

  UniqueFd file_;  // the regular file that Data writes
  TreeEntry file_record_;
  timespec file_mtime_ = {};
  std::map<std::string, std::string> file_xattrs_;
  bool file_late_ = false;  // attributes wait for the content
  bool ends_in_hole_ = false, summed_whole_ = false;
  int64_t file_at_ = 0;     // how far it has come
  int64_t file_bytes_ = 0;  // without holes
  ContentHasher hasher_;
};

}  // namespace berth
