#include "src/copy/tar_writer.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/status_macros.h"
#include "src/image/pull/tar_fields.h"

namespace berth {
namespace {

constexpr size_t kBlock = 512;
constexpr absl::string_view kPaxName = "././@PaxHeader";

struct TypeFlag {
  TarEntry::Type type;
  char flag;
};
constexpr std::array kTypes = {
    TypeFlag{TarEntry::Type::kRegular, '0'},     TypeFlag{TarEntry::Type::kHardLink, '1'},
    TypeFlag{TarEntry::Type::kSymlink, '2'},     TypeFlag{TarEntry::Type::kCharDevice, '3'},
    TypeFlag{TarEntry::Type::kBlockDevice, '4'}, TypeFlag{TarEntry::Type::kDirectory, '5'},
    TypeFlag{TarEntry::Type::kFifo, '6'}};

char FlagOf(TarEntry::Type type) {
  return std::find_if(kTypes.begin(), kTypes.end(),
                      [&](const TypeFlag& one) { return one.type == type; })
      ->flag;
}

class Header {
 public:
  void Put(const TarField& field, absl::string_view text) {
    std::memcpy(block_.data() + field.offset, text.data(), std::min(text.size(), field.length));
  }
  // Octal with a NUL behind. False: it does not fit.
  bool PutNumber(const TarField& field, int64_t value) {
    const std::string text = absl::StrFormat("%0*o", static_cast<int>(field.length - 1), value);
    const bool fits = value >= 0 && text.size() < field.length;
    Put(field, fits ? text : std::string(field.length - 1, '0'));
    return fits;
  }
  absl::string_view Seal(char flag) {
    block_[kTarType] = flag;
    Put(kTarMagic, absl::string_view("ustar\00000", 8));
    Put(kTarChecksum, "        ");
    unsigned sum = 0;
    for (const char c : block_) sum += static_cast<unsigned char>(c);
    Put(kTarChecksum, absl::string_view(absl::StrFormat("%06o", sum) + std::string("\0 ", 2)));
    return {block_.data(), block_.size()};
  }

 private:
  std::array<char, kBlock> block_ = {};
};

// "<length> key=value\n", the length counting its own digits.
std::string PaxRecord(absl::string_view key, absl::string_view value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest;
  while (rest + absl::StrCat(length).size() != length) length = rest + absl::StrCat(length).size();
  return absl::StrCat(length, " ", key, "=", value, "\n");
}

// A negative time counts its nanoseconds forward, its text backward.
std::string PaxTimeText(timespec time) {
  const bool negative = time.tv_sec < 0;
  if (negative && time.tv_nsec > 0) {
    time.tv_sec += 1;
    time.tv_nsec = 1'000'000'000 - time.tv_nsec;
  }
  const uint64_t seconds =
      negative ? 0 - static_cast<uint64_t>(time.tv_sec) : static_cast<uint64_t>(time.tv_sec);
  return absl::StrFormat("%s%d.%09d", negative ? "-" : "", seconds, time.tv_nsec);
}

std::string Padding(int64_t size) {
  return std::string((kBlock - static_cast<size_t>(size) % kBlock) % kBlock, '\0');
}

}  // namespace

absl::Status TarWriter::Begin(const TarEntry& entry) {
  const bool directory = entry.type == TarEntry::Type::kDirectory;
  const std::string path = absl::StrCat(entry.path, directory ? "/" : "");
  std::string pax;
  Header header;
  header.Put(kTarName, path);
  if (path.size() > kTarName.length) absl::StrAppend(&pax, PaxRecord("path", path));
  header.Put(kTarLink, entry.link);
  if (entry.link.size() > kTarLink.length) absl::StrAppend(&pax, PaxRecord("linkpath", entry.link));
  size_ = entry.type == TarEntry::Type::kRegular ? entry.size : 0;
  header.PutNumber(kTarMode, entry.mode);
  if (!header.PutNumber(kTarUid, entry.uid))
    absl::StrAppend(&pax, PaxRecord("uid", absl::StrCat(entry.uid)));
  if (!header.PutNumber(kTarGid, entry.gid))
    absl::StrAppend(&pax, PaxRecord("gid", absl::StrCat(entry.gid)));
  if (!header.PutNumber(kTarSize, size_))
    absl::StrAppend(&pax, PaxRecord("size", absl::StrCat(size_)));
  if (!header.PutNumber(kTarMtime, entry.mtime.tv_sec) || entry.mtime.tv_nsec != 0)
    absl::StrAppend(&pax, PaxRecord("mtime", PaxTimeText(entry.mtime)));
  header.PutNumber(kTarMajor, entry.device_major);
  header.PutNumber(kTarMinor, entry.device_minor);
  for (const auto& [name, value] : entry.xattrs)
    absl::StrAppend(&pax, PaxRecord(absl::StrCat("SCHILY.xattr.", name), value));
  if (!pax.empty()) {
    Header announcement;
    announcement.Put(kTarName, kPaxName);
    announcement.PutNumber(kTarMode, 0644);
    for (const TarField& field : {kTarUid, kTarGid, kTarMtime, kTarMajor, kTarMinor})
      announcement.PutNumber(field, 0);
    announcement.PutNumber(kTarSize, static_cast<int64_t>(pax.size()));
    RETURN_IF_ERROR(sink_(announcement.Seal('x')));
    RETURN_IF_ERROR(sink_(pax + Padding(static_cast<int64_t>(pax.size()))));
  }
  return sink_(header.Seal(FlagOf(entry.type)));
}

absl::Status TarWriter::Data(absl::string_view bytes) { return sink_(bytes); }

absl::Status TarWriter::End() {
  const std::string padding = Padding(size_);
  return padding.empty() ? absl::OkStatus() : sink_(padding);
}

absl::Status TarWriter::Finish() { return sink_(std::string(2 * kBlock, '\0')); }

}  // namespace berth
