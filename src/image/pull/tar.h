// A strict streaming reader of tar archives: POSIX ustar, PAX, GNU long names, star prefixes,
// sparse files of all four forms. Bytes are pushed in, entries come out. Where two readers could
// understand an archive differently, it is refused. Pure: touches no file.
#pragma once

#include <array>
#include <cstdint>
#include <ctime>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/image/pull/tar_sparse.h"

namespace berth {

struct TarEntry {
  enum class Type { kRegular, kHardLink, kSymlink, kCharDevice, kBlockDevice, kDirectory, kFifo };
  Type type = Type::kRegular;
  std::string path;   // as written: may be absolute or hold "..", never NUL
  std::string link;   // of hard and symbolic links
  uint32_t mode = 0;  // permission bits with setuid, setgid, sticky
  uint32_t uid = 0, gid = 0;
  int64_t size = 0;  // with the holes
  timespec mtime = {};
  uint32_t device_major = 0, device_minor = 0;
  std::map<std::string, std::string> xattrs;  // "security.capability" -> bytes
};

// Receives the entries in order: Begin, then Data and Hole until the entry's size is reached, then
// End.
class TarSink {
 public:
  virtual ~TarSink() = default;
  virtual absl::Status Begin(const TarEntry& entry) = 0;
  virtual absl::Status Data(absl::string_view bytes) = 0;
  // So many zeros that the archive does not hold.
  virtual absl::Status Hole(int64_t bytes) = 0;
  virtual absl::Status End() = 0;
};

class TarReader {
 public:
  explicit TarReader(TarSink& sink) : sink_(sink) {}

  // InvalidArgument for a malformed archive, ResourceExhausted beyond a limit, Unimplemented for
  // unknown forms of sparse files; errors of the sink as they are. After an error the reader must
  // not be fed again.
  absl::Status Feed(absl::string_view bytes);

  // To be called once after the last byte.
  absl::Status Finish();

  // The entry that is being read, or was last; "" before the first.
  const std::string& current_path() const { return entry_.path; }

 private:
  enum class State { kHeader, kSparseBlock, kSparseMap, kBody, kPadding, kEnd };
  // What the body bytes in hand belong to.
  enum class Body { kEntry, kPax, kGlobalPax, kLongName, kLongLink };
  // Attributes that PAX and GNU records announce for the next entry.
  struct Pending {
    std::optional<std::string> path, link, long_name, long_link;
    std::optional<int64_t> size, uid, gid;
    std::optional<timespec> mtime;
    std::map<std::string, std::string> xattrs;
    PaxSparse sparse;
    bool any = false;
    bool pax = false;  // a PAX header was among them
  };
  // How far a sparse file has come.
  struct Sparse {
    SparseMap map;
    SparseMapReader reader;  // PAX 1.0
    size_t next = 0;         // extent
    int64_t position = 0;    // in the file
  };

  absl::Status TakeBlock(absl::string_view& bytes);
  absl::Status TakeHeader(absl::string_view block);
  absl::Status TakeSparseMap(absl::string_view& bytes);
  absl::Status StartSparse(absl::string_view block);
  absl::Status StartContent();
  absl::Status TakeContent(absl::string_view bytes);
  absl::Status FinishContent();
  absl::Status CheckGlobals(const TarEntry& entry) const;
  absl::Status TakeZeroBlock();
  absl::Status StartRecord(Body body, int64_t size);
  absl::Status StartEntry(absl::string_view block);
  absl::Status TakeBody(absl::string_view bytes);
  absl::Status FinishBody();
  absl::Status TakePax(absl::string_view records, bool global);
  absl::Status TakePaxRecord(absl::string_view key, absl::string_view value, Pending& into) const;
  absl::Status ApplyPending();

  TarSink& sink_;
  State state_ = State::kHeader;
  Body body_ = Body::kEntry;
  std::array<char, 512> block_;
  size_t block_fill_ = 0;
  int zero_blocks_ = 0;
  int64_t body_left_ = 0;
  size_t padding_left_ = 0;
  bool untouched_padding_ = false;
  std::string record_;  // the body of a PAX or GNU record
  Pending pending_;
  Pending globals_;  // of global PAX headers: checked, never applied
  TarEntry entry_;
  std::optional<Sparse> sparse_;
};

}  // namespace berth
