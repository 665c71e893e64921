// Builds tar archives byte by byte, also ones that no honest tool would write. For tests.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace berth::testing_image {

struct TarItem {
  std::string path;
  char type = '0';
  std::string content, link;
  uint32_t mode = 0644;
  uint32_t uid = 0, gid = 0;
  int64_t mtime = 1'000'000'000;
  uint32_t device_major = 0, device_minor = 0;
  int64_t size = -1;     // what the header says; -1: that of `content`
  std::string raw_size;  // the field itself, if not empty
  absl::string_view magic = absl::string_view(
      "ustar\0"
      "00",
      8);
};

// One header with the content and its padding.
std::string TarBytes(const TarItem& item);
// A PAX header for the next item, its records in this order: keys may come more than once.
std::string PaxBytes(const std::vector<std::pair<std::string, std::string>>& records,
                     char type = 'x');
// GNU's long name ('L') or link ('K') for the next item.
std::string LongNameBytes(char type, const std::string& name);
// Mends the checksum of the header block at the beginning.
void PutChecksum(std::string& item);

struct SparseRange {
  int64_t offset, size;
};
// Writes GNU's old sparse map into an item of type 'S': up to 4 ranges into its header (at 386),
// with the size of the file, and mends the checksum.
void PutSparse(std::string& item, const std::vector<SparseRange>& ranges, int64_t file_size,
               bool continues = false);
// A block that continues the map: up to 21 ranges.
std::string SparseBlock(const std::vector<SparseRange>& ranges, bool continues = false);
// The two zero blocks.
std::string TarEnd();

std::string Directory(const std::string& path, uint32_t mode = 0755);
std::string File(const std::string& path, const std::string& content, uint32_t mode = 0644);

std::string Gzip(const std::string& plain);
std::string Zstd(const std::string& plain, int window_log = 0);

}  // namespace berth::testing_image
