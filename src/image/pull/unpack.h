// Writes the entries of one layer below a directory, in the form that overlayfs reads: whiteouts
// become character devices 0:0, opaque directories carry trusted.overlay.opaque. Names are resolved
// by the kernel inside that directory only (openat2 RESOLVE_IN_ROOT), last components are never
// followed. One owner thread; needs root.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/unique_fd.h"
#include "src/image/pull/layer_path.h"
#include "src/image/pull/tar.h"

namespace berth {

struct UnpackLimits {
  int64_t inodes = 2'000'000;
  PathLimits path;
};

struct UnpackStats {
  int64_t size_bytes = 0;  // files rounded up to 4 KiB, directories 4 KiB each
  int64_t inodes = 0;
};

class Unpacker : public TarSink {
 public:
  // `root_fd` is an empty directory, borrowed. The process's umask must be 0.
  explicit Unpacker(int root_fd, const UnpackLimits& limits = {})
      : root_(root_fd), limits_(limits) {}

  // InvalidArgument names the entry: outside of the layer, malformed, or in the way of another one.
  absl::Status Begin(const TarEntry& entry) override;
  absl::Status Data(absl::string_view bytes) override;
  absl::Status End() override;

  // After the last entry: sets what only then can stay, the directories' times.
  absl::StatusOr<UnpackStats> Finish();

  // Directories that entries needed and the archive did not hold, each before its children.
  const std::vector<std::string>& implied_directories() const { return implied_; }

 private:
  struct Place;  // an open parent directory and a name in it

  absl::StatusOr<Place> PlaceOf(absl::string_view path, bool create_parents);
  absl::StatusOr<int> Parent(const std::string& path, bool create);
  absl::StatusOr<UniqueFd> MakeParents(const std::string& path);
  absl::StatusOr<UniqueFd> MakeImpliedDir(int parent, const std::string& name,
                                          const std::string& path);
  absl::Status CountInode();

  absl::Status BeginAt(const TarEntry& entry, const Place& place);
  absl::Status Whiteout(const Place& place, absl::string_view hidden);
  absl::Status MakeOpaque(const Place& place);
  absl::Status ReplaceExisting(const Place& place);
  absl::Status BeginFile(const TarEntry& entry, const Place& place);
  absl::Status MakeDirectory(const TarEntry& entry, const Place& place);
  absl::Status MakeSymlink(const TarEntry& entry, const Place& place);
  absl::Status MakeHardLink(const TarEntry& entry, const Place& place);
  absl::Status MakeNode(const TarEntry& entry, const Place& place);
  absl::Status SetRoot(const TarEntry& entry);
  absl::Status SetNode(const TarEntry& entry, const Place& place);
  absl::Status SetDirectory(int fd, const TarEntry& entry, const std::string& path);

  const int root_;
  const UnpackLimits limits_;
  UnpackStats stats_;
  std::string parent_path_;  // of parent_
  UniqueFd parent_;
  UniqueFd file_;  // the regular file that Data writes
  TarEntry file_entry_;
  std::map<std::string, timespec> directory_times_;
  std::vector<std::string> implied_;
};

}  // namespace berth
