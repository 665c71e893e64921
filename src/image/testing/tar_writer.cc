#include "src/image/testing/tar_writer.h"

#include <zlib.h>
#include <zstd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace berth::testing_image {
namespace {

constexpr size_t kBlock = 512;

std::string Padded(std::string bytes) {
  bytes.append((kBlock - bytes.size() % kBlock) % kBlock, '\0');
  return bytes;
}

void Put(std::string& block, size_t offset, absl::string_view text) {
  block.replace(offset, text.size(), text.data(), text.size());
}

std::string Octal(uint64_t value, int digits) { return absl::StrFormat("%0*o", digits, value); }

void PutRanges(std::string& block, size_t at, const std::vector<SparseRange>& ranges) {
  for (const SparseRange& range : ranges) {
    Put(block, at, Octal(static_cast<uint64_t>(range.offset), 11));
    Put(block, at + 12, Octal(static_cast<uint64_t>(range.size), 11));
    at += 24;
  }
}

}  // namespace

void PutChecksum(std::string& item) {
  Put(item, 148, "        ");
  unsigned sum = 0;
  for (size_t i = 0; i < kBlock; ++i) sum += static_cast<unsigned char>(item[i]);
  Put(item, 148, absl::StrFormat("%06o", sum));
  item[154] = '\0';
}

std::string TarBytes(const TarItem& item) {
  std::string block(kBlock, '\0');
  Put(block, 0, absl::string_view(item.path).substr(0, 100));
  Put(block, 100, Octal(item.mode, 7));
  Put(block, 108, Octal(item.uid & 07777777, 7));
  Put(block, 116, Octal(item.gid & 07777777, 7));
  const int64_t size = item.size >= 0 ? item.size : static_cast<int64_t>(item.content.size());
  Put(block, 124, item.raw_size.empty() ? Octal(static_cast<uint64_t>(size), 11) : item.raw_size);
  Put(block, 136, Octal(static_cast<uint64_t>(item.mtime), 11));
  block[156] = item.type;
  Put(block, 157, absl::string_view(item.link).substr(0, 100));
  Put(block, 257, item.magic);
  Put(block, 329, Octal(item.device_major, 7));
  Put(block, 337, Octal(item.device_minor, 7));
  PutChecksum(block);
  return block + Padded(item.content);
}

void PutSparse(std::string& item, const std::vector<SparseRange>& ranges, int64_t file_size,
               bool continues) {
  PutRanges(item, 386, ranges);
  item[482] = continues ? 1 : 0;
  Put(item, 483, Octal(static_cast<uint64_t>(file_size), 11));
  PutChecksum(item);
}

std::string SparseBlock(const std::vector<SparseRange>& ranges, bool continues) {
  std::string block(kBlock, '\0');
  PutRanges(block, 0, ranges);
  block[504] = continues ? 1 : 0;
  return block;
}

std::string PaxBytes(const std::vector<std::pair<std::string, std::string>>& records, char type) {
  std::string body;
  for (const auto& [key, value] : records) {
    const std::string record = absl::StrCat(" ", key, "=", value, "\n");
    size_t length = record.size() + 1;
    while (absl::StrCat(length).size() + record.size() != length) ++length;
    absl::StrAppend(&body, length, record);
  }
  return TarBytes({.path = "PaxHeaders/x", .type = type, .content = body});
}

std::string LongNameBytes(char type, const std::string& name) {
  return TarBytes({.path = "././@LongLink", .type = type, .content = name + '\0'});
}

std::string TarEnd() { return std::string(2 * kBlock, '\0'); }

std::string Directory(const std::string& path, uint32_t mode) {
  return TarBytes({.path = path, .type = '5', .mode = mode});
}

std::string File(const std::string& path, const std::string& content, uint32_t mode) {
  return TarBytes({.path = path, .content = content, .mode = mode});
}

std::string Gzip(const std::string& plain) {
  z_stream stream = {};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) !=
      Z_OK)
    std::abort();
  std::string out(deflateBound(&stream, plain.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) std::abort();
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Zstd(const std::string& plain, int window_log) {
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  if (window_log > 0) {
    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
    ZSTD_CCtx_setParameter(context, ZSTD_c_enableLongDistanceMatching, 1);
  }
  std::string out(ZSTD_compressBound(plain.size()), '\0');
  // In two steps, so that the size of the whole is not known beforehand and the window stays as
  // asked.
  ZSTD_outBuffer to = {out.data(), out.size(), 0};
  ZSTD_inBuffer from = {plain.data(), plain.size(), 0};
  if (ZSTD_isError(ZSTD_compressStream2(context, &to, &from, ZSTD_e_continue))) std::abort();
  while (true) {
    const size_t left = ZSTD_compressStream2(context, &to, &from, ZSTD_e_end);
    if (ZSTD_isError(left)) std::abort();
    if (left == 0) break;
  }
  out.resize(to.pos);
  ZSTD_freeCCtx(context);
  return out;
}

}  // namespace berth::testing_image
