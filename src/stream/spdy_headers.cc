#include "src/stream/spdy_headers.h"

#include <algorithm>
#include <array>
#include <new>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/stream/spdy_dictionary.h"
#include "src/stream/spdy_wire.h"

namespace berth {
namespace {

const std::string& Dictionary() {
  static const std::string dictionary = [] {
    std::string all;
    for (const absl::string_view word : kSpdyDictionaryWords) {
      AppendU32(all, static_cast<uint32_t>(word.size()));
      absl::StrAppend(&all, word);
    }
    absl::StrAppend(&all, kSpdyDictionaryTail);
    return all;
  }();
  return dictionary;
}

const Bytef* Bytes(absl::string_view text) { return reinterpret_cast<const Bytef*>(text.data()); }

// zlib's only way to fail here, with arguments that are constants.
void RequireMemory(int result) {
  if (result != Z_OK) throw std::bad_alloc();
}

// One length-prefixed string from the front of `rest`.
absl::StatusOr<absl::string_view> TakeField(absl::string_view& rest) {
  if (rest.size() < 4) return absl::InvalidArgumentError("SPDY headers: cut off");
  const uint32_t size = ReadU32(rest, 0);
  rest.remove_prefix(4);
  if (size > kMaxSpdyField)
    return absl::InvalidArgumentError(absl::StrCat("SPDY headers: a field of ", size, " bytes"));
  if (size > rest.size()) return absl::InvalidArgumentError("SPDY headers: cut off");
  const absl::string_view field = rest.substr(0, size);
  rest.remove_prefix(size);
  return field;
}

}  // namespace

absl::string_view FindHeader(const SpdyHeaders& headers, absl::string_view name) {
  const auto at = std::find_if(headers.begin(), headers.end(),
                               [&](const SpdyHeader& header) { return header.name == name; });
  return at == headers.end() ? absl::string_view() : absl::string_view(at->value);
}

absl::StatusOr<SpdyHeaders> ParseSpdyHeaders(absl::string_view inflated) {
  if (inflated.size() < 4) return absl::InvalidArgumentError("SPDY headers: cut off");
  const uint32_t count = ReadU32(inflated, 0);
  if (count > kMaxSpdyHeaders)
    return absl::InvalidArgumentError(absl::StrCat("SPDY headers: ", count, " are too many"));
  absl::string_view rest = inflated.substr(4);
  SpdyHeaders headers;
  for (uint32_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(const absl::string_view name, TakeField(rest));
    ASSIGN_OR_RETURN(const absl::string_view value, TakeField(rest));
    if (name.empty() || std::any_of(name.begin(), name.end(), absl::ascii_isupper))
      return absl::InvalidArgumentError("SPDY headers: a name is empty or has upper case");
    for (const SpdyHeader& other : headers) {
      if (other.name == name)
        return absl::InvalidArgumentError("SPDY headers: a name is there twice");
    }
    headers.push_back({std::string(name), std::string(value)});
  }
  if (!rest.empty()) return absl::InvalidArgumentError("SPDY headers: bytes after the last one");
  return headers;
}

std::string SerializeSpdyHeaders(const SpdyHeaders& headers) {
  std::string block;
  AppendU32(block, static_cast<uint32_t>(headers.size()));
  for (const SpdyHeader& header : headers) {
    for (const std::string* field : {&header.name, &header.value}) {
      AppendU32(block, static_cast<uint32_t>(field->size()));
      block += *field;
    }
  }
  return block;
}

HeaderInflater::HeaderInflater() { RequireMemory(inflateInit(&stream_)); }
HeaderInflater::~HeaderInflater() { inflateEnd(&stream_); }

absl::StatusOr<std::string> HeaderInflater::Inflate(absl::string_view block) {
  std::string out;
  std::array<char, 4096> buffer;
  stream_.next_in = const_cast<Bytef*>(Bytes(block));
  stream_.avail_in = static_cast<uInt>(block.size());
  bool more = true;
  while (more) {
    stream_.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream_.avail_out = buffer.size();
    int result = inflate(&stream_, Z_SYNC_FLUSH);
    if (result == Z_NEED_DICT) {
      result = stream_.adler == kSpdyDictionaryAdler32
                   ? inflateSetDictionary(&stream_, Bytes(Dictionary()),
                                          static_cast<uInt>(Dictionary().size()))
                   : Z_DATA_ERROR;
      if (result == Z_OK) continue;
    }
    if (result != Z_OK && result != Z_BUF_ERROR)
      return absl::InvalidArgumentError("SPDY headers: they cannot be inflated");
    out.append(buffer.data(), buffer.size() - stream_.avail_out);
    if (out.size() > kMaxSpdyHeaderBlock)
      return absl::InvalidArgumentError("SPDY headers: too long when inflated");
    more = stream_.avail_out == 0;
  }
  if (stream_.avail_in > 0)
    return absl::InvalidArgumentError("SPDY headers: they cannot be inflated");
  return out;
}

HeaderDeflater::HeaderDeflater() {
  constexpr int kWindowBits = 11, kMemoryLevel = 1;  // few and short headers go out
  RequireMemory(deflateInit2(&stream_, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kWindowBits, kMemoryLevel,
                             Z_DEFAULT_STRATEGY));
  RequireMemory(
      deflateSetDictionary(&stream_, Bytes(Dictionary()), static_cast<uInt>(Dictionary().size())));
}
HeaderDeflater::~HeaderDeflater() { deflateEnd(&stream_); }

std::string HeaderDeflater::Deflate(absl::string_view block) {
  std::string out;
  std::array<char, 1024> buffer;
  stream_.next_in = const_cast<Bytef*>(Bytes(block));
  stream_.avail_in = static_cast<uInt>(block.size());
  do {
    stream_.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream_.avail_out = buffer.size();
    deflate(&stream_, Z_SYNC_FLUSH);
    out.append(buffer.data(), buffer.size() - stream_.avail_out);
  } while (stream_.avail_out == 0);
  return out;
}

}  // namespace berth
