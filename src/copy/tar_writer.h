// Writes tar archives: ustar headers, and PAX records where those are too short (times below the
// second, long names, big numbers, extended attributes). What TarReader reads. Pure.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/image/pull/tar.h"

namespace berth {

// One owner thread.
class TarWriter {
 public:
  using Sink = std::function<absl::Status(absl::string_view bytes)>;
  explicit TarWriter(Sink sink) : sink_(std::move(sink)) {}

  // For a regular file Data follows with `entry.size` bytes in all.
  absl::Status Begin(const TarEntry& entry);
  absl::Status Data(absl::string_view bytes);
  absl::Status End();
  // The end of the archive.
  absl::Status Finish();

 private:
  const Sink sink_;
  int64_t size_ = 0;
};

}  // namespace berth
