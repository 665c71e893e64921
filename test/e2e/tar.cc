#include "test/e2e/tar.h"

#include <openssl/sha.h>
#include <zlib.h>
#include <zstd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace berth::e2e {
namespace {

constexpr size_t kBlock = 512;

// The header block of ustar (POSIX.1-1988 layout).
struct Header {
  char name[100];
  char mode[8], uid[8], gid[8];
  char size[12], mtime[12];
  char checksum[8];
  char type;
  char link[100];
  char magic[6], version[2];
  char user[32], group[32];
  char major[8], minor[8];
  char prefix[155];
  char padding[12];
};
static_assert(sizeof(Header) == kBlock);

template <size_t N>
void PutOctal(char (&field)[N], uint64_t value) {
  field[N - 1] = '\0';
  for (size_t i = N - 1; i-- > 0; value >>= 3) field[i] = static_cast<char>('0' + (value & 7));
}

template <size_t N>
void PutText(char (&field)[N], const std::string& text) {
  memcpy(field, text.data(), std::min(N, text.size()));
}

void Pad(std::string& out) { out.append((kBlock - out.size() % kBlock) % kBlock, '\0'); }

void AppendEntry(const TarEntry& entry, std::string& out) {
  Header header{};
  PutText(header.name, entry.path);
  PutOctal(header.mode, entry.mode);
  PutOctal(header.uid, entry.uid);
  PutOctal(header.gid, entry.gid);
  PutOctal(header.size, entry.content.size());
  PutOctal(header.mtime, static_cast<uint64_t>(entry.mtime));
  header.type = entry.type;
  PutText(header.link, entry.link);
  memcpy(header.magic, "ustar", 6);
  memcpy(header.version, "00", 2);
  PutOctal(header.major, static_cast<uint64_t>(entry.major));
  PutOctal(header.minor, static_cast<uint64_t>(entry.minor));
  memset(header.checksum, ' ', sizeof header.checksum);
  unsigned sum = 0;
  for (size_t i = 0; i < kBlock; ++i) sum += reinterpret_cast<const unsigned char*>(&header)[i];
  snprintf(header.checksum, sizeof header.checksum, "%06o", sum);
  out.append(reinterpret_cast<const char*>(&header), kBlock);
  out.append(entry.content);
  Pad(out);
}

// "<length> <key>=<value>\n", the length counting itself.
std::string PaxRecord(const std::string& key, const std::string& value) {
  const std::string body = absl::StrCat(" ", key, "=", value, "\n");
  size_t length = body.size();
  while (absl::StrCat(length).size() + body.size() != length)
    length = absl::StrCat(length).size() + body.size();
  return absl::StrCat(length, body);
}

std::string PaxRecords(const TarEntry& entry) {
  std::string records;
  if (entry.path.size() > 100) records += PaxRecord("path", entry.path);
  if (entry.link.size() > 100) records += PaxRecord("linkpath", entry.link);
  for (const auto& [name, value] : entry.xattrs)
    records += PaxRecord("SCHILY.xattr." + name, value);
  return records;
}

std::string Gzip(absl::string_view bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    abort();
  std::string out(deflateBound(&stream, bytes.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) abort();
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Zstd(absl::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const size_t size = ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 1);
  if (ZSTD_isError(size)) abort();
  out.resize(size);
  return out;
}

}  // namespace

TarEntry File(std::string path, std::string content, mode_t mode) {
  return {.path = std::move(path), .content = std::move(content), .mode = mode};
}
TarEntry Dir(std::string path, mode_t mode) {
  return {.path = std::move(path), .type = '5', .mode = mode};
}
TarEntry Symlink(std::string path, std::string target) {
  return {.path = std::move(path), .type = '2', .mode = 0777, .link = std::move(target)};
}
TarEntry Hardlink(std::string path, std::string target) {
  return {.path = std::move(path), .type = '1', .link = std::move(target)};
}

std::string Tar(const std::vector<TarEntry>& entries) {
  std::string out;
  for (const TarEntry& entry : entries) {
    if (const std::string records = PaxRecords(entry); !records.empty()) {
      AppendEntry({.path = "pax/header", .type = 'x', .content = records}, out);
    }
    AppendEntry(entry, out);
  }
  out.append(2 * kBlock, '\0');
  return out;
}

std::string Compress(absl::string_view bytes, Compression compression) {
  switch (compression) {
    case Compression::kNone:
      return std::string(bytes);
    case Compression::kGzip:
      return Gzip(bytes);
    case Compression::kZstd:
      return Zstd(bytes);
  }
  abort();
}

std::string Digest(absl::string_view bytes) {
  unsigned char hash[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), hash);
  return absl::StrCat("sha256:", absl::BytesToHexString(absl::string_view(
                                     reinterpret_cast<const char*>(hash), sizeof hash)));
}

}  // namespace berth::e2e
