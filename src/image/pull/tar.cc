#include "src/image/pull/tar.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/image/pull/tar_fields.h"

namespace berth {
namespace {

constexpr size_t kBlock = 512;
constexpr int64_t kMaxPaxBytes = 1 << 20;
constexpr int64_t kMaxLongNameBytes = 4096 + 1;
constexpr int64_t kMaxOctalSize = (int64_t{1} << 33) - 1;  // what 11 octal digits hold
constexpr int64_t kMaxMajor = (1 << 12) - 1, kMaxMinor = (1 << 20) - 1;

absl::Status Malformed(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("tar: ", why));
}

bool IsZero(absl::string_view block) {
  return std::all_of(block.begin(), block.end(), [](char c) { return c == '\0'; });
}

struct TypeFlag {
  char flag;
  TarEntry::Type type;
};
constexpr std::array kTypes = {
    TypeFlag{'0', TarEntry::Type::kRegular},     TypeFlag{'\0', TarEntry::Type::kRegular},
    TypeFlag{'7', TarEntry::Type::kRegular},     TypeFlag{'1', TarEntry::Type::kHardLink},
    TypeFlag{'2', TarEntry::Type::kSymlink},     TypeFlag{'3', TarEntry::Type::kCharDevice},
    TypeFlag{'4', TarEntry::Type::kBlockDevice}, TypeFlag{'5', TarEntry::Type::kDirectory},
    TypeFlag{'6', TarEntry::Type::kFifo},        TypeFlag{'S', TarEntry::Type::kRegular},
};

absl::StatusOr<TarEntry::Type> TypeOf(char flag) {
  for (const TypeFlag& known : kTypes) {
    if (known.flag == flag) return known.type;
  }
  return Malformed(
      absl::StrCat("unknown entry type ", static_cast<int>(static_cast<unsigned char>(flag))));
}

// The name with its prefix, by the dialect that the magic names.
std::string HeaderPath(absl::string_view block) {
  std::string name(TarText(block, kTarName));
  const absl::string_view magic = block.substr(kTarMagic.offset, kTarMagic.length);
  if (!absl::StartsWith(magic, absl::string_view("ustar\0", 6))) return name;
  const bool star = block.substr(kBlock - 4) == absl::string_view("tar\0", 4);
  const absl::string_view prefix = TarText(block, star ? kTarStarPrefix : kTarPrefix);
  return prefix.empty() ? name : absl::StrCat(prefix, "/", name);
}

bool HasDeviceNumbers(TarEntry::Type type) {
  return type == TarEntry::Type::kCharDevice || type == TarEntry::Type::kBlockDevice;
}

// POSIX's magic, GNU's, or that of neither. One that is nearly POSIX's makes some readers take the
// prefix for a part of the name, and some not.
absl::Status CheckMagic(absl::string_view block) {
  absl::string_view magic = block.substr(kTarMagic.offset, kTarMagic.length);
  if (!absl::ConsumePrefix(&magic, "ustar") || magic[0] == '\0' || magic[0] == ' ')
    return absl::OkStatus();
  return Malformed("malformed magic");
}

absl::StatusOr<TarEntry> ParseHeader(absl::string_view block) {
  RETURN_IF_ERROR(CheckMagic(block));
  TarEntry entry;
  ASSIGN_OR_RETURN(entry.type, TypeOf(block[kTarType]));
  entry.path = HeaderPath(block);
  entry.link = std::string(TarText(block, kTarLink));
  ASSIGN_OR_RETURN(const int64_t mode, TarNumber(block, kTarMode));
  if (mode < 0) return Malformed("negative mode");
  entry.mode = static_cast<uint32_t>(mode & 07777);
  ASSIGN_OR_RETURN(entry.size, TarNumber(block, kTarSize));
  if (entry.size < 0) return Malformed("negative size");
  ASSIGN_OR_RETURN(entry.mtime.tv_sec, TarNumber(block, kTarMtime));
  if (HasDeviceNumbers(entry.type)) {
    // Version 7 had none: readers differ in whether they look for them.
    if (!absl::StartsWith(block.substr(kTarMagic.offset), "ustar"))
      return Malformed("a device in a header without a magic");
    ASSIGN_OR_RETURN(const int64_t device_major, TarNumber(block, kTarMajor));
    ASSIGN_OR_RETURN(const int64_t device_minor, TarNumber(block, kTarMinor));
    ASSIGN_OR_RETURN(entry.device_major, TarNumberInRange(device_major, kMaxMajor, "device major"));
    ASSIGN_OR_RETURN(entry.device_minor, TarNumberInRange(device_minor, kMaxMinor, "device minor"));
  }
  return entry;
}

}  // namespace

absl::Status TarReader::Feed(absl::string_view bytes) {
  while (!bytes.empty()) {
    switch (state_) {
      case State::kHeader:
      case State::kSparseBlock:
        RETURN_IF_ERROR(TakeBlock(bytes));
        break;
      case State::kSparseMap:
        RETURN_IF_ERROR(TakeSparseMap(bytes));
        break;
      case State::kBody: {
        const auto n = static_cast<size_t>(
            std::min<uint64_t>(static_cast<uint64_t>(body_left_), bytes.size()));
        RETURN_IF_ERROR(TakeBody(bytes.substr(0, n)));
        bytes.remove_prefix(n);
        break;
      }
      case State::kPadding: {
        const size_t n = std::min(padding_left_, bytes.size());
        padding_left_ -= n;
        untouched_padding_ = false;
        bytes.remove_prefix(n);
        if (padding_left_ == 0) state_ = State::kHeader;
        break;
      }
      case State::kEnd:
        if (!IsZero(bytes)) return Malformed("bytes after the end of the archive");
        return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

// A header, or a block that continues the map of a sparse file.
absl::Status TarReader::TakeBlock(absl::string_view& bytes) {
  absl::string_view block;
  if (block_fill_ == 0 && bytes.size() >= kBlock) {
    block = bytes.substr(0, kBlock);
    bytes.remove_prefix(kBlock);
  } else {
    const size_t n = std::min(kBlock - block_fill_, bytes.size());
    std::memcpy(block_.data() + block_fill_, bytes.data(), n);
    block_fill_ += n;
    bytes.remove_prefix(n);
    if (block_fill_ < kBlock) return absl::OkStatus();
    block_fill_ = 0;
    block = {block_.data(), kBlock};
  }
  if (state_ == State::kHeader) return TakeHeader(block);
  ASSIGN_OR_RETURN(const bool more, TakeOldSparseBlock(block, sparse_->map));
  return more ? absl::OkStatus() : StartContent();
}

absl::Status TarReader::Finish() {
  if (state_ == State::kEnd) return absl::OkStatus();
  // Some writers (umoci insert) leave out what follows the last file: its padding and the two zero
  // blocks.
  const bool at_border = state_ == State::kHeader && block_fill_ == 0;
  if (!at_border && !(state_ == State::kPadding && untouched_padding_)) {
    return Malformed("the archive ends inside an entry");
  }
  if (pending_.any) return Malformed("the archive ends after an extended header");
  return absl::OkStatus();
}

absl::Status TarReader::TakeZeroBlock() {
  if (pending_.any) return Malformed("an extended header without an entry");
  if (++zero_blocks_ == 2) state_ = State::kEnd;
  return absl::OkStatus();
}

absl::Status TarReader::TakeHeader(absl::string_view block) {
  if (IsZero(block)) return TakeZeroBlock();
  if (zero_blocks_ > 0) return Malformed("a lone zero block");
  RETURN_IF_ERROR(CheckTarChecksum(block));
  const char flag = block[kTarType];
  struct Record {
    char flag;
    Body body;
  };
  constexpr std::array kRecords = {Record{'x', Body::kPax}, Record{'g', Body::kGlobalPax},
                                   Record{'L', Body::kLongName}, Record{'K', Body::kLongLink}};
  for (const Record& record : kRecords) {
    if (record.flag != flag) continue;
    ASSIGN_OR_RETURN(const int64_t size, TarNumber(block, kTarSize));
    return StartRecord(record.body, size);
  }
  ASSIGN_OR_RETURN(entry_, ParseHeader(block));
  return StartEntry(block);
}

absl::Status TarReader::StartRecord(Body body, int64_t size) {
  const bool pax = body == Body::kPax || body == Body::kGlobalPax;
  if (size <= 0 || size > (pax ? kMaxPaxBytes : kMaxLongNameBytes)) {
    return Malformed(absl::StrCat("an extended header of ", size, " bytes"));
  }
  body_ = body;
  body_left_ = size;
  padding_left_ = static_cast<size_t>(-size & (kBlock - 1));
  record_.clear();
  state_ = State::kBody;
  return absl::OkStatus();
}

absl::Status TarReader::StartEntry(absl::string_view block) {
  const int64_t header_size = entry_.size;
  // The ids of the header are read only where PAX does not replace them: a writer that needed PAX
  // may leave any value.
  if (!pending_.uid.has_value()) {
    ASSIGN_OR_RETURN(pending_.uid, TarNumber(block, kTarUid));
  }
  if (!pending_.gid.has_value()) {
    ASSIGN_OR_RETURN(pending_.gid, TarNumber(block, kTarGid));
  }
  RETURN_IF_ERROR(ApplyPending());
  if (entry_.size != header_size && entry_.size <= kMaxOctalSize) {
    return Malformed(
        absl::StrCat("size is ", header_size, " in the header and ", entry_.size, " in PAX"));
  }
  if (entry_.path.empty()) return Malformed("an entry without a name");
  if (absl::StrContains(entry_.path, '\0') || absl::StrContains(entry_.link, '\0'))
    return Malformed("NUL in a name");
  // Version 7 archives mark directories by the slash alone.
  if (block[kTarType] == '\0' && absl::EndsWith(entry_.path, "/"))
    entry_.type = TarEntry::Type::kDirectory;
  if (entry_.type != TarEntry::Type::kRegular && entry_.size != 0) {
    return Malformed(absl::StrCat(EscapeForLog(entry_.path.substr(0, 256)),
                                  ": content in an entry that is no file"));
  }
  RETURN_IF_ERROR(CheckGlobals(entry_));
  body_ = Body::kEntry;
  body_left_ = entry_.size;
  padding_left_ = static_cast<size_t>(-entry_.size & static_cast<int64_t>(kBlock - 1));
  const bool sparse = block[kTarType] == 'S' || pending_.sparse.any();
  if (!sparse) {
    pending_ = Pending();
    return StartContent();
  }
  if (entry_.type != TarEntry::Type::kRegular) return Malformed("a sparse entry that is no file");
  return StartSparse(block);
}

absl::Status TarReader::StartSparse(absl::string_view block) {
  const PaxSparse pax = std::move(pending_.sparse);
  pending_ = Pending();
  sparse_.emplace();
  if (block[kTarType] == 'S') {
    if (pax.any()) return Malformed("a sparse file by GNU's header and by PAX");
    // In a POSIX header the prefix of the name lies where GNU's map does.
    if (!absl::StartsWith(block.substr(kTarMagic.offset), absl::string_view("ustar  ", 7)))
      return Malformed("a sparse file in a header that is not GNU's");
    ASSIGN_OR_RETURN(const bool more, TakeOldSparseHeader(block, sparse_->map));
    if (!more) return StartContent();
    state_ = State::kSparseBlock;
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(sparse_->map, pax.Map());
  if (!pax.map_in_content()) return StartContent();
  state_ = State::kSparseMap;
  return absl::OkStatus();
}

absl::Status TarReader::TakeSparseMap(absl::string_view& bytes) {
  const size_t before = bytes.size();
  ASSIGN_OR_RETURN(const bool complete, sparse_->reader.Take(bytes));
  body_left_ -= static_cast<int64_t>(before - bytes.size());
  if (body_left_ < 0)
    return Malformed("sparse file: its map is longer than what the archive holds");
  if (!complete) return absl::OkStatus();
  sparse_->map.extents = sparse_->reader.TakeExtents();
  return StartContent();
}

absl::Status TarReader::StartContent() {
  if (sparse_.has_value()) {
    RETURN_IF_ERROR(Annotate(CheckSparseMap(sparse_->map, body_left_),
                             EscapeForLog(entry_.path.substr(0, 256))));
    entry_.size = sparse_->map.file_size;
  }
  RETURN_IF_ERROR(sink_.Begin(entry_));
  if (body_left_ == 0) return FinishBody();
  state_ = State::kBody;
  return absl::OkStatus();
}

// Lays the archived bytes of a sparse file out over its extents.
absl::Status TarReader::TakeContent(absl::string_view bytes) {
  if (!sparse_.has_value()) return sink_.Data(bytes);
  while (!bytes.empty()) {
    const SparseExtent& extent = sparse_->map.extents[sparse_->next];
    if (sparse_->position < extent.offset && extent.size > 0) {
      RETURN_IF_ERROR(sink_.Hole(extent.offset - sparse_->position));
      sparse_->position = extent.offset;
    }
    const int64_t left = extent.size == 0 ? 0 : extent.offset + extent.size - sparse_->position;
    if (left == 0) {
      ++sparse_->next;
      continue;
    }
    const auto n = static_cast<size_t>(std::min<uint64_t>(bytes.size(), left));
    RETURN_IF_ERROR(sink_.Data(bytes.substr(0, n)));
    sparse_->position += static_cast<int64_t>(n);
    bytes.remove_prefix(n);
  }
  return absl::OkStatus();
}

absl::Status TarReader::FinishContent() {
  if (sparse_.has_value()) {
    const int64_t rest = sparse_->map.file_size - sparse_->position;
    sparse_.reset();
    if (rest > 0) RETURN_IF_ERROR(sink_.Hole(rest));
  }
  return sink_.End();
}

absl::Status TarReader::TakeBody(absl::string_view bytes) {
  body_left_ -= static_cast<int64_t>(bytes.size());
  if (body_ == Body::kEntry) {
    RETURN_IF_ERROR(TakeContent(bytes));
  } else {
    record_.append(bytes.data(), bytes.size());
  }
  return body_left_ == 0 ? FinishBody() : absl::OkStatus();
}

absl::Status TarReader::FinishBody() {
  state_ = padding_left_ > 0 ? State::kPadding : State::kHeader;
  untouched_padding_ = true;
  switch (body_) {
    case Body::kEntry:
      return FinishContent();
    case Body::kPax:
      return TakePax(record_, /*global=*/false);
    case Body::kGlobalPax:
      return TakePax(record_, /*global=*/true);
    case Body::kLongName:
    case Body::kLongLink: {
      std::optional<std::string>& name =
          body_ == Body::kLongName ? pending_.long_name : pending_.long_link;
      if (name.has_value()) return Malformed("two GNU long names for one entry");
      name = record_.substr(0, record_.find('\0'));
      pending_.any = true;
      return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

}  // namespace berth
