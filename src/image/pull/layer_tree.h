// The tree of a layer: what lies in its directory, entry by entry, with a checksum of each file's
// content, so that damage can be found later (I-08, docs/reliability.md). Written beside the layer
// while it is unpacked; docs/formats/layer-tree.md has the bytes. Paths are relative to the layer,
// "" is its root.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct ZSTD_CCtx_s;

namespace berth {

// XXH3, 128 bits, in the canonical (big-endian) form. It tells damage, not malice: who may write to
// the layers may write to their trees.
using ContentSum = std::array<unsigned char, 16>;

struct TreeEntry {
  enum class Type : unsigned char {
    kDirectory = 'd',
    kRegular = 'f',
    kSymlink = 'l',
    kHardLink = 'h',  // another name of an entry: only path and link mean anything
    kCharDevice = 'c',
    kBlockDevice = 'b',
    kFifo = 'p',
    kWhiteout = 'w',  // character device 0:0: only the path means anything
  };
  Type type = Type::kRegular;
  std::string path;
  std::string link;   // of a symbolic link; of a hard link the path of its first name
  uint32_t mode = 0;  // permission bits with setuid, setgid, sticky; not of symbolic links
  uint32_t uid = 0, gid = 0;
  int64_t size = 0;               // of regular files
  std::optional<timespec> mtime;  // none: whatever it is
  uint32_t device_major = 0, device_minor = 0;
  std::map<std::string, std::string> xattrs;  // those that IsKeptXattr, and overlayfs's own
  ContentSum sum = {};                        // of regular files, holes as zeros
};

// Streams a tree into a file. One owner thread.
class LayerTreeWriter {
 public:
  // `fd` is an empty file, borrowed.
  explicit LayerTreeWriter(int fd);
  ~LayerTreeWriter();
  LayerTreeWriter(const LayerTreeWriter&) = delete;
  LayerTreeWriter& operator=(const LayerTreeWriter&) = delete;

  // Each path at most once. ErrnoStatus if the file cannot be written.
  absl::Status Add(const TreeEntry& entry);
  // Without it the file is no tree.
  absl::Status Finish();

  int64_t entries() const { return entries_; }

 private:
  absl::Status Flush(bool end);

  const int fd_;
  std::unique_ptr<ZSTD_CCtx_s, void (*)(ZSTD_CCtx_s*)> context_;
  std::string plain_, packed_;
  int64_t entries_ = 0;
};

using LayerTree = std::unordered_map<std::string, TreeEntry>;  // by path

// DataLoss for a file that is cut short, damaged or no tree; Unimplemented for another version.
absl::StatusOr<LayerTree> ReadLayerTree(int fd);

}  // namespace berth
