#include "src/image/pull/tar.h"

#include <algorithm>
#include <cstring>
#include <limits>

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
constexpr int64_t kMaxId = std::numeric_limits<uint32_t>::max() - 1;
constexpr int64_t kMaxMajor = (1 << 12) - 1, kMaxMinor = (1 << 20) - 1;
constexpr size_t kMaxXattrs = 64, kMaxXattrName = 255, kMaxXattrValue = 64 << 10;

constexpr absl::string_view kXattrPrefix = "SCHILY.xattr.";

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
    TypeFlag{'6', TarEntry::Type::kFifo},
};

absl::StatusOr<TarEntry::Type> TypeOf(char flag) {
  for (const TypeFlag& known : kTypes) {
    if (known.flag == flag) return known.type;
  }
  if (flag == 'S') return absl::UnimplementedError("tar: sparse files are not supported");
  return Malformed(
      absl::StrCat("unknown entry type ", static_cast<int>(static_cast<unsigned char>(flag))));
}

absl::StatusOr<uint32_t> InRange(int64_t value, int64_t max, absl::string_view what) {
  if (value < 0 || value > max)
    return Malformed(absl::StrCat(what, " ", value, " is out of range"));
  return static_cast<uint32_t>(value);
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

absl::StatusOr<TarEntry> ParseHeader(absl::string_view block) {
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
    ASSIGN_OR_RETURN(const int64_t device_major, TarNumber(block, kTarMajor));
    ASSIGN_OR_RETURN(const int64_t device_minor, TarNumber(block, kTarMinor));
    ASSIGN_OR_RETURN(entry.device_major, InRange(device_major, kMaxMajor, "device major"));
    ASSIGN_OR_RETURN(entry.device_minor, InRange(device_minor, kMaxMinor, "device minor"));
  }
  return entry;
}

// Both say the same thing in a well-formed archive; the one that is there is the name.
absl::Status MergeNames(const std::optional<std::string>& pax,
                        const std::optional<std::string>& gnu, std::string* name) {
  if (pax.has_value() && gnu.has_value() && *pax != *gnu)
    return Malformed("PAX and GNU names disagree");
  if (gnu.has_value()) *name = *gnu;
  if (pax.has_value()) *name = *pax;
  return absl::OkStatus();
}

}  // namespace

absl::Status TarReader::Feed(absl::string_view bytes) {
  while (!bytes.empty()) {
    switch (state_) {
      case State::kHeader: {
        if (block_fill_ == 0 && bytes.size() >= kBlock) {
          RETURN_IF_ERROR(TakeHeader(bytes.substr(0, kBlock)));
          bytes.remove_prefix(kBlock);
          break;
        }
        const size_t n = std::min(kBlock - block_fill_, bytes.size());
        std::memcpy(block_.data() + block_fill_, bytes.data(), n);
        block_fill_ += n;
        bytes.remove_prefix(n);
        if (block_fill_ == kBlock) {
          block_fill_ = 0;
          RETURN_IF_ERROR(TakeHeader({block_.data(), kBlock}));
        }
        break;
      }
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
  ASSIGN_OR_RETURN(TarEntry entry, ParseHeader(block));
  return StartEntry(block, std::move(entry));
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

absl::Status TarReader::StartEntry(absl::string_view block, TarEntry entry) {
  const int64_t header_size = entry.size;
  // The ids of the header are read only where PAX does not replace them: a writer that needed PAX
  // may leave any value.
  if (!pending_.uid.has_value()) {
    ASSIGN_OR_RETURN(pending_.uid, TarNumber(block, kTarUid));
  }
  if (!pending_.gid.has_value()) {
    ASSIGN_OR_RETURN(pending_.gid, TarNumber(block, kTarGid));
  }
  RETURN_IF_ERROR(ApplyPending(entry));
  if (entry.size != header_size && entry.size <= kMaxOctalSize) {
    return Malformed(
        absl::StrCat("size is ", header_size, " in the header and ", entry.size, " in PAX"));
  }
  if (entry.path.empty()) return Malformed("an entry without a name");
  if (absl::StrContains(entry.path, '\0') || absl::StrContains(entry.link, '\0'))
    return Malformed("NUL in a name");
  // Version 7 archives mark directories by the slash alone.
  if (block[kTarType] == '\0' && absl::EndsWith(entry.path, "/"))
    entry.type = TarEntry::Type::kDirectory;
  if (entry.type != TarEntry::Type::kRegular && entry.size != 0) {
    return Malformed(absl::StrCat(EscapeForLog(entry.path.substr(0, 256)),
                                  ": content in an entry that is no file"));
  }
  pending_ = Pending();
  body_ = Body::kEntry;
  body_left_ = entry.size;
  padding_left_ = static_cast<size_t>(-entry.size & static_cast<int64_t>(kBlock - 1));
  RETURN_IF_ERROR(sink_.Begin(entry));
  if (body_left_ == 0) return FinishBody();
  state_ = State::kBody;
  return absl::OkStatus();
}

absl::Status TarReader::ApplyPending(TarEntry& entry) {
  RETURN_IF_ERROR(MergeNames(pending_.path, pending_.long_name, &entry.path));
  RETURN_IF_ERROR(MergeNames(pending_.link, pending_.long_link, &entry.link));
  if (pending_.size.has_value()) entry.size = *pending_.size;
  if (pending_.mtime.has_value()) entry.mtime = *pending_.mtime;
  ASSIGN_OR_RETURN(entry.uid, InRange(*pending_.uid, kMaxId, "uid"));
  ASSIGN_OR_RETURN(entry.gid, InRange(*pending_.gid, kMaxId, "gid"));
  entry.xattrs = std::move(pending_.xattrs);
  return absl::OkStatus();
}

absl::Status TarReader::TakeBody(absl::string_view bytes) {
  body_left_ -= static_cast<int64_t>(bytes.size());
  if (body_ == Body::kEntry) {
    RETURN_IF_ERROR(sink_.Data(bytes));
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
      return sink_.End();
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

absl::Status TarReader::TakePax(absl::string_view records, bool global) {
  if (!global && (pending_.path || pending_.link || pending_.size || pending_.uid || pending_.gid ||
                  pending_.mtime || !pending_.xattrs.empty())) {
    return Malformed("two PAX headers for one entry");
  }
  if (!global) {
    pending_.any = true;
    return ForEachPaxRecord(records, [this](absl::string_view key, absl::string_view value) {
      return TakePaxRecord(key, value);
    });
  }
  // Global headers only ever carry comments in images; one that renames or resizes later entries is
  // not honoured by all readers.
  return ForEachPaxRecord(records, [](absl::string_view key, absl::string_view) -> absl::Status {
    constexpr std::array<absl::string_view, 6> kForbidden = {"path", "linkpath", "size",
                                                             "uid",  "gid",      "mtime"};
    const bool forbidden = std::find(kForbidden.begin(), kForbidden.end(), key) != kForbidden.end();
    if (forbidden || absl::StartsWith(key, "GNU.sparse.") || absl::StartsWith(key, kXattrPrefix)) {
      return Malformed(absl::StrCat("a global PAX header sets ", EscapeForLog(key)));
    }
    return absl::OkStatus();
  });
}

absl::Status TarReader::TakePaxRecord(absl::string_view key, absl::string_view value) {
  if (absl::StartsWith(key, "GNU.sparse.")) {
    return absl::UnimplementedError("tar: sparse files are not supported");
  }
  absl::string_view xattr = key;
  if (absl::ConsumePrefix(&xattr, kXattrPrefix)) {
    if (xattr.empty() || xattr.size() > kMaxXattrName || value.size() > kMaxXattrValue ||
        pending_.xattrs.size() >= kMaxXattrs) {
      return absl::ResourceExhaustedError("tar: too many or too long extended attributes");
    }
    if (!pending_.xattrs.emplace(std::string(xattr), std::string(value)).second) {
      return Malformed("an extended attribute twice");
    }
    return absl::OkStatus();
  }
  if (value.empty()) return absl::OkStatus();  // POSIX: as if it were not there
  const auto set = [key](auto& field, auto new_value) -> absl::Status {
    if (field.has_value()) return Malformed(absl::StrCat("PAX key ", key, " twice"));
    field = std::move(new_value);
    return absl::OkStatus();
  };
  if (key == "path") return set(pending_.path, std::string(value));
  if (key == "linkpath") return set(pending_.link, std::string(value));
  if (key == "mtime") {
    ASSIGN_OR_RETURN(const timespec time, PaxTime(key, value));
    return set(pending_.mtime, time);
  }
  struct NumberKey {
    absl::string_view name;
    std::optional<int64_t>* field;
  };
  for (const NumberKey& known : {NumberKey{"size", &pending_.size}, NumberKey{"uid", &pending_.uid},
                                 NumberKey{"gid", &pending_.gid}}) {
    if (key != known.name) continue;
    ASSIGN_OR_RETURN(const int64_t number, PaxNumber(key, value));
    return set(*known.field, number);
  }
  return absl::OkStatus();  // names of users, access times, comments
}

}  // namespace berth
