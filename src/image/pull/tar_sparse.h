// Maps of sparse files in tar archives: which ranges of a file the archive holds, all else being
// zeros. The four forms that GNU tar has written (its manual, "Sparse Formats"): the old one in the
// header block and blocks after it, PAX 0.0 and 0.1 in PAX records, PAX 1.0 before the content.
// Every map is bounded and must add up before it is used. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth {

struct SparseExtent {
  int64_t offset = 0, size = 0;  // bytes
};

struct SparseMap {
  std::vector<SparseExtent> extents;  // ascending, not overlapping
  int64_t file_size = 0;              // with the holes
};

inline constexpr size_t kMaxSparseExtents = 1 << 20;
// A file with holes may claim any size at no cost; what reads it pays.
inline constexpr int64_t kMaxSparseFile = int64_t{128} << 30;

// InvalidArgument unless the extents ascend within the file and their sizes are `archived_bytes`;
// ResourceExhausted beyond the limits.
absl::Status CheckSparseMap(const SparseMap& map, int64_t archived_bytes);

// GNU's old form. `header` and `block` are of 512 bytes. True: another block follows.
absl::StatusOr<bool> TakeOldSparseHeader(absl::string_view header, SparseMap& map);
absl::StatusOr<bool> TakeOldSparseBlock(absl::string_view block, SparseMap& map);

// The GNU.sparse.* records of one PAX header.
class PaxSparse {
 public:
  // InvalidArgument for malformed and repeated ones; Unimplemented for unknown versions.
  absl::Status Take(absl::string_view key, absl::string_view value);

  bool any() const { return any_; }
  const std::optional<std::string>& name() const { return name_; }  // of the file
  // True: PAX 1.0, the map comes before the content.
  bool map_in_content() const { return major_.has_value() && *major_ == 1; }
  // The map of 0.0 and 0.1; of 1.0 the size alone. InvalidArgument if keys are missing or of
  // several versions.
  absl::StatusOr<SparseMap> Map() const;

 private:
  absl::Status TakeList(absl::string_view value);
  absl::Status TakeRange(absl::string_view key, int64_t number);

  bool any_ = false;
  std::optional<std::string> name_;
  std::optional<int64_t> major_, minor_, size_, blocks_;
  std::optional<int64_t> open_offset_;               // an offset that waits for its number of bytes
  std::optional<std::vector<SparseExtent>> listed_;  // 0.1
  std::vector<SparseExtent> ranges_;                 // 0.0
};

// The map at the beginning of a PAX 1.0 file: decimal lines, filled up to a block of 512 bytes.
class SparseMapReader {
 public:
  // Takes from the front of `bytes` what belongs to the map. True when it is complete, padding
  // included.
  absl::StatusOr<bool> Take(absl::string_view& bytes);
  std::vector<SparseExtent> TakeExtents() { return std::move(extents_); }

 private:
  absl::Status TakeNumber(int64_t number);

  std::vector<SparseExtent> extents_;
  std::optional<int64_t> count_, open_offset_;
  std::string digits_;
  bool complete_ = false;
  int64_t taken_ = 0;
};

}  // namespace berth
