// The tar reader of the floor of a pull: writes the entries of a well-formed layer of one's own
// below a directory as they come, with mode, owner and time, and checks nothing. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/base/unique_fd.h"

namespace berth::bench {

class FloorTar {
 public:
  explicit FloorTar(int directory) : directory_(directory) {}

  absl::Status Feed(absl::string_view bytes);

 private:
  struct Header;

  absl::Status Take(const Header& header);
  absl::Status Make(const Header& header, const std::string& path, const std::string& link);
  absl::Status EndContent();
  void ReadRecords();

  const int directory_;
  std::string header_;       // of the entry that begins, until it is whole
  std::string records_;      // the content of a PAX header or a long name
  char reading_ = 0;         // 'x', 'L' or 'K' while `records_` is filled
  std::string path_, link_;  // what such an entry said about the next one
  int64_t content_ = 0, padding_ = 0;
  UniqueFd file_;
  int64_t modified_ = 0;
};

}  // namespace berth::bench
