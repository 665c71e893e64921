#include "src/image/pull/layer_tree.h"

#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

using Type = TreeEntry::Type;

constexpr absl::string_view kMagic = "berth layer tree 1\n";
constexpr absl::string_view kMagicOfAll = "berth layer tree ";
constexpr char kEnd = 'e';
constexpr size_t kFlushBytes = 128 << 10;
constexpr int kLevel = 1;
constexpr int kMaxWindowLog = 20;  // 1 MiB: of what kLevel needs no more
constexpr size_t kMaxText = 1 << 20;
constexpr uint64_t kHasTime = 1;

void PutNumber(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

void PutText(std::string& out, absl::string_view text) {
  PutNumber(out, text.size());
  out.append(text.data(), text.size());
}

uint64_t ZigZag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
int64_t UnZigZag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

bool HasAttributes(Type type) { return type != Type::kHardLink && type != Type::kWhiteout; }
bool HasLink(Type type) { return type == Type::kHardLink || type == Type::kSymlink; }
bool HasDevice(Type type) { return type == Type::kCharDevice || type == Type::kBlockDevice; }

void Encode(const TreeEntry& entry, std::string& out) {
  out.push_back(static_cast<char>(entry.type));
  PutText(out, entry.path);
  if (HasLink(entry.type)) PutText(out, entry.link);
  if (!HasAttributes(entry.type)) return;
  PutNumber(out, entry.mode);
  PutNumber(out, entry.uid);
  PutNumber(out, entry.gid);
  PutNumber(out, entry.mtime.has_value() ? kHasTime : 0);
  if (entry.mtime.has_value()) {
    PutNumber(out, ZigZag(entry.mtime->tv_sec));
    PutNumber(out, static_cast<uint64_t>(entry.mtime->tv_nsec));
  }
  if (HasDevice(entry.type)) {
    PutNumber(out, entry.device_major);
    PutNumber(out, entry.device_minor);
  }
  PutNumber(out, entry.xattrs.size());
  for (const auto& [name, value] : entry.xattrs) {
    PutText(out, name);
    PutText(out, value);
  }
  if (entry.type != Type::kRegular) return;
  PutNumber(out, static_cast<uint64_t>(entry.size));
  out.append(reinterpret_cast<const char*>(entry.sum.data()), entry.sum.size());
}

absl::Status Damaged(absl::string_view why) {
  return absl::DataLossError(absl::StrCat("layer tree: ", why));
}

// A cursor over the plain bytes of a tree.
class Decoder {
 public:
  explicit Decoder(absl::string_view bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }

  absl::StatusOr<char> Byte() {
    if (rest_.empty()) return Damaged("it is cut short");
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return c;
  }

  absl::StatusOr<uint64_t> Number() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      ASSIGN_OR_RETURN(const char c, Byte());
      value |= static_cast<uint64_t>(c & 0x7f) << shift;
      if ((c & 0x80) == 0) return value;
    }
    return Damaged("a number is too long");
  }

  absl::StatusOr<uint32_t> Number32() {
    ASSIGN_OR_RETURN(const uint64_t value, Number());
    if (value > UINT32_MAX) return Damaged("a number is too big");
    return static_cast<uint32_t>(value);
  }

  absl::StatusOr<absl::string_view> Bytes(uint64_t size) {
    if (size > rest_.size()) return Damaged("it is cut short");
    const absl::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }

  absl::StatusOr<std::string> Text() {
    ASSIGN_OR_RETURN(const uint64_t size, Number());
    if (size > kMaxText) return Damaged("a text is too long");
    ASSIGN_OR_RETURN(const absl::string_view text, Bytes(size));
    return std::string(text);
  }

 private:
  absl::string_view rest_;
};

absl::Status DecodeAttributes(Decoder& in, TreeEntry& entry) {
  ASSIGN_OR_RETURN(entry.mode, in.Number32());
  ASSIGN_OR_RETURN(entry.uid, in.Number32());
  ASSIGN_OR_RETURN(entry.gid, in.Number32());
  ASSIGN_OR_RETURN(const uint64_t flags, in.Number());
  if (flags == kHasTime) {
    ASSIGN_OR_RETURN(const uint64_t seconds, in.Number());
    ASSIGN_OR_RETURN(const uint32_t nanoseconds, in.Number32());
    entry.mtime = timespec{.tv_sec = UnZigZag(seconds), .tv_nsec = nanoseconds};
  }
  if (HasDevice(entry.type)) {
    ASSIGN_OR_RETURN(entry.device_major, in.Number32());
    ASSIGN_OR_RETURN(entry.device_minor, in.Number32());
  }
  ASSIGN_OR_RETURN(const uint64_t xattrs, in.Number());
  for (uint64_t i = 0; i < xattrs; ++i) {
    ASSIGN_OR_RETURN(std::string name, in.Text());
    ASSIGN_OR_RETURN(entry.xattrs[std::move(name)], in.Text());
  }
  if (entry.type != Type::kRegular) return absl::OkStatus();
  ASSIGN_OR_RETURN(const uint64_t size, in.Number());
  entry.size = static_cast<int64_t>(size);
  ASSIGN_OR_RETURN(const absl::string_view sum, in.Bytes(entry.sum.size()));
  std::copy(sum.begin(), sum.end(), entry.sum.begin());
  return absl::OkStatus();
}

absl::StatusOr<TreeEntry> DecodeEntry(char type, Decoder& in) {
  constexpr absl::string_view kTypes = "dflhcbpw";
  if (!absl::StrContains(kTypes, type)) return Damaged("an unknown kind of entry");
  TreeEntry entry;
  entry.type = static_cast<Type>(type);
  ASSIGN_OR_RETURN(entry.path, in.Text());
  if (HasLink(entry.type)) {
    ASSIGN_OR_RETURN(entry.link, in.Text());
  }
  if (HasAttributes(entry.type)) RETURN_IF_ERROR(DecodeAttributes(in, entry));
  return entry;
}

absl::StatusOr<LayerTree> DecodeTree(absl::string_view plain) {
  if (!absl::ConsumePrefix(&plain, kMagic)) {
    if (!absl::StartsWith(plain, kMagicOfAll)) return Damaged("it is no tree");
    return absl::UnimplementedError("layer tree: it is of another version");
  }
  Decoder in(plain);
  LayerTree tree;
  while (true) {
    ASSIGN_OR_RETURN(const char type, in.Byte());
    if (type == kEnd) break;
    ASSIGN_OR_RETURN(TreeEntry entry, DecodeEntry(type, in));
    std::string path = entry.path;
    if (!tree.emplace(std::move(path), std::move(entry)).second) return Damaged("a path twice");
  }
  ASSIGN_OR_RETURN(const uint64_t entries, in.Number());
  if (entries != tree.size() || !in.empty()) return Damaged("its end does not fit");
  return tree;
}

absl::StatusOr<std::string> ReadPlain(int fd) {
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(),
                                                                   ZSTD_freeDCtx);
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kMaxWindowLog);
  std::string in(ZSTD_DStreamInSize(), '\0'), out(ZSTD_DStreamOutSize(), '\0'), plain;
  size_t hint = 1;
  for (off_t at = 0;;) {
    const ssize_t n = ::pread(fd, in.data(), in.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("read", "layer tree");
    if (n == 0) break;
    at += n;
    ZSTD_inBuffer from = {in.data(), static_cast<size_t>(n), 0};
    bool full = false;
    while (from.pos < from.size || full) {
      if (hint == 0) return Damaged("bytes after its end");
      ZSTD_outBuffer to = {out.data(), out.size(), 0};
      hint = ZSTD_decompressStream(context.get(), &to, &from);
      if (ZSTD_isError(hint)) return Damaged(ZSTD_getErrorName(hint));
      plain.append(out.data(), to.pos);
      full = hint != 0 && to.pos == to.size;
    }
  }
  if (hint != 0) return Damaged("it is cut short");
  return plain;
}

void Free(ZSTD_CCtx_s* context) { ZSTD_freeCCtx(context); }

}  // namespace

LayerTreeWriter::LayerTreeWriter(int fd)
    : fd_(fd),
      context_(ZSTD_createCCtx(), Free),
      plain_(kMagic),
      packed_(ZSTD_CStreamOutSize(), '\0') {
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, kLevel);
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_windowLog, kMaxWindowLog - 1);
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1);
}
LayerTreeWriter::~LayerTreeWriter() = default;

absl::Status LayerTreeWriter::Flush(bool end) {
  ZSTD_inBuffer from = {plain_.data(), plain_.size(), 0};
  while (true) {
    ZSTD_outBuffer to = {packed_.data(), packed_.size(), 0};
    const size_t left =
        ZSTD_compressStream2(context_.get(), &to, &from, end ? ZSTD_e_end : ZSTD_e_continue);
    if (ZSTD_isError(left)) {
      return absl::ResourceExhaustedError(
          absl::StrCat("compress layer tree: ", ZSTD_getErrorName(left)));
    }
    for (size_t at = 0; at < to.pos;) {
      const ssize_t n = ::write(fd_, packed_.data() + at, to.pos - at);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus("write", "layer tree");
      at += static_cast<size_t>(n);
    }
    if (end ? left == 0 : from.pos == from.size) break;
  }
  plain_.clear();
  return absl::OkStatus();
}

absl::Status LayerTreeWriter::Add(const TreeEntry& entry) {
  Encode(entry, plain_);
  ++entries_;
  return plain_.size() < kFlushBytes ? absl::OkStatus() : Flush(/*end=*/false);
}

absl::Status LayerTreeWriter::Finish() {
  plain_.push_back(kEnd);
  PutNumber(plain_, static_cast<uint64_t>(entries_));
  return Flush(/*end=*/true);
}

absl::StatusOr<LayerTree> ReadLayerTree(int fd) {
  ASSIGN_OR_RETURN(const std::string plain, ReadPlain(fd));
  return DecodeTree(plain);
}

}  // namespace berth
