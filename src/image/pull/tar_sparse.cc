#include "src/image/pull/tar_sparse.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/image/pull/tar_fields.h"

namespace berth {
namespace {

constexpr size_t kBlock = 512;
constexpr size_t kRange = 24;  // offset and size, 12 bytes each
constexpr size_t kHeaderRanges = 386, kHeaderCount = 4, kHeaderContinues = 482;
constexpr size_t kBlockCount = 21, kBlockContinues = 504;
constexpr TarField kRealSize{483, 12, "realsize"};
constexpr size_t kMaxDigits = 19;  // 2^63-1

absl::Status Malformed(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("tar: sparse file: ", why));
}

absl::Status TooMany() {
  return absl::ResourceExhaustedError(
      absl::StrCat("tar: sparse file: more than ", kMaxSparseExtents, " ranges"));
}

absl::Status TakeRanges(absl::string_view block, size_t at, size_t count, SparseMap& map) {
  for (size_t i = 0; i < count; ++i, at += kRange) {
    const absl::string_view range = block.substr(at, kRange);
    if (std::all_of(range.begin(), range.end(), [](char c) { return c == '\0'; })) {
      return absl::OkStatus();
    }
    SparseExtent extent;
    ASSIGN_OR_RETURN(extent.offset, TarNumber(block, {at, 12, "sparse offset"}));
    ASSIGN_OR_RETURN(extent.size, TarNumber(block, {at + 12, 12, "sparse size"}));
    if (map.extents.size() == kMaxSparseExtents) return TooMany();
    map.extents.push_back(extent);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckSparseMap(const SparseMap& map, int64_t archived_bytes) {
  if (map.file_size < 0) return Malformed("negative size");
  if (map.file_size > kMaxSparseFile) {
    return absl::ResourceExhaustedError(
        absl::StrCat("tar: sparse file of ", map.file_size, " bytes, at most ", kMaxSparseFile));
  }
  int64_t end = 0, sum = 0;
  for (const SparseExtent& extent : map.extents) {
    const bool inside = extent.offset >= end && extent.size >= 0 &&
                        extent.offset <= map.file_size &&
                        extent.size <= map.file_size - extent.offset;
    if (!inside) return Malformed("its ranges overlap, go back, or end after the file");
    end = extent.offset + extent.size;
    sum += extent.size;
  }
  if (sum == archived_bytes) return absl::OkStatus();
  return Malformed(
      absl::StrCat("its ranges are ", sum, " bytes, the archive holds ", archived_bytes));
}

absl::StatusOr<bool> TakeOldSparseHeader(absl::string_view header, SparseMap& map) {
  ASSIGN_OR_RETURN(map.file_size, TarNumber(header, kRealSize));
  RETURN_IF_ERROR(TakeRanges(header, kHeaderRanges, kHeaderCount, map));
  return header[kHeaderContinues] != '\0';
}

absl::StatusOr<bool> TakeOldSparseBlock(absl::string_view block, SparseMap& map) {
  RETURN_IF_ERROR(TakeRanges(block, 0, kBlockCount, map));
  return block[kBlockContinues] != '\0';
}

absl::Status PaxSparse::TakeRange(absl::string_view key, int64_t number) {
  if (key == "GNU.sparse.offset") {
    if (open_offset_.has_value()) return Malformed("an offset without a number of bytes");
    open_offset_ = number;
    return absl::OkStatus();
  }
  if (!open_offset_.has_value()) return Malformed("a number of bytes without an offset");
  if (ranges_.size() == kMaxSparseExtents) return TooMany();
  ranges_.push_back({.offset = *std::exchange(open_offset_, std::nullopt), .size = number});
  return absl::OkStatus();
}

absl::Status PaxSparse::TakeList(absl::string_view value) {
  if (listed_.has_value()) return Malformed("two maps");
  listed_.emplace();
  if (value.empty()) return absl::OkStatus();
  std::optional<int64_t> offset;
  for (const absl::string_view text : absl::StrSplit(value, ',')) {
    ASSIGN_OR_RETURN(const int64_t number, PaxNumber("GNU.sparse.map", text));
    if (!offset.has_value()) {
      offset = number;
      continue;
    }
    if (listed_->size() == kMaxSparseExtents) return TooMany();
    listed_->push_back({.offset = *std::exchange(offset, std::nullopt), .size = number});
  }
  return offset.has_value() ? Malformed("a map of an odd number of numbers") : absl::OkStatus();
}

absl::Status PaxSparse::Take(absl::string_view key, absl::string_view value) {
  any_ = true;
  if (key == "GNU.sparse.map") return TakeList(value);
  if (key == "GNU.sparse.name") {
    if (name_.has_value()) return Malformed("two names");
    name_ = std::string(value);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const int64_t number, PaxNumber(key, value));
  if (key == "GNU.sparse.offset" || key == "GNU.sparse.numbytes") return TakeRange(key, number);
  struct Known {
    absl::string_view key;
    std::optional<int64_t>* field;
  };
  const std::array known = {Known{"GNU.sparse.major", &major_}, Known{"GNU.sparse.minor", &minor_},
                            Known{"GNU.sparse.numblocks", &blocks_},
                            Known{"GNU.sparse.size", &size_}, Known{"GNU.sparse.realsize", &size_}};
  for (const Known& one : known) {
    if (one.key != key) continue;
    if (one.field->has_value()) return Malformed(absl::StrCat(key, " twice"));
    *one.field = number;
    return absl::OkStatus();
  }
  return absl::UnimplementedError(
      absl::StrCat("tar: sparse file: ", EscapeForLog(key.substr(0, 64)), " is not known"));
}

absl::StatusOr<SparseMap> PaxSparse::Map() const {
  if (!size_.has_value()) return Malformed("no size");
  if (open_offset_.has_value()) return Malformed("an offset without a number of bytes");
  const bool inline_map = listed_.has_value() || !ranges_.empty();
  if (major_.has_value() || minor_.has_value()) {
    const int64_t high = major_.value_or(0), low = minor_.value_or(0);
    const bool in_records = high == 0 && (low == 0 || low == 1);
    if (!in_records && !(high == 1 && low == 0)) {
      return absl::UnimplementedError(
          absl::StrCat("tar: sparse file: version ", high, ".", low, " is not known"));
    }
    if (high == 1 && (inline_map || blocks_.has_value())) return Malformed("two maps");
  }
  if (map_in_content()) return SparseMap{.file_size = *size_};
  if (listed_.has_value() && !ranges_.empty()) return Malformed("two maps");
  if (!blocks_.has_value()) return Malformed("no number of ranges");
  SparseMap map{.extents = listed_.has_value() ? *listed_ : ranges_, .file_size = *size_};
  if (static_cast<int64_t>(map.extents.size()) != *blocks_) {
    return Malformed(absl::StrCat(map.extents.size(), " ranges, ", *blocks_, " announced"));
  }
  return map;
}

absl::Status SparseMapReader::TakeNumber(int64_t number) {
  if (!count_.has_value()) {
    if (number > static_cast<int64_t>(kMaxSparseExtents)) return TooMany();
    count_ = number;
  } else if (!open_offset_.has_value()) {
    open_offset_ = number;
  } else {
    extents_.push_back({.offset = *std::exchange(open_offset_, std::nullopt), .size = number});
  }
  complete_ = static_cast<int64_t>(extents_.size()) == *count_ && !open_offset_.has_value();
  return absl::OkStatus();
}

absl::StatusOr<bool> SparseMapReader::Take(absl::string_view& bytes) {
  while (!bytes.empty() && !complete_) {
    const char c = bytes.front();
    bytes.remove_prefix(1);
    ++taken_;
    if (c != '\n') {
      if (digits_.size() == kMaxDigits) return Malformed("a number of the map is too long");
      digits_.push_back(c);
      continue;
    }
    ASSIGN_OR_RETURN(const int64_t number, PaxNumber("sparse map", digits_));
    digits_.clear();
    RETURN_IF_ERROR(TakeNumber(number));
  }
  if (!complete_) return false;
  const auto padding = static_cast<size_t>(-taken_ & static_cast<int64_t>(kBlock - 1));
  const size_t n = std::min(padding, bytes.size());
  bytes.remove_prefix(n);
  taken_ += static_cast<int64_t>(n);
  return n == padding;
}

}  // namespace berth
