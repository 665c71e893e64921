// Container logs in the CRI format, "TIME STREAM TAG CONTENT" a record: from bytes to whole lines.
// Pure.
#pragma once

#include <array>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace berth::cli {

enum class LogStream { kStdout, kStderr };

struct LogRecord {
  absl::string_view time;  // RFC 3339 with nanoseconds, as written
  LogStream stream = LogStream::kStdout;
  bool partial = false;  // the next record of the same stream continues the line
  absl::string_view content;
};

// `line` without its newline. InvalidArgument for what is no record.
absl::StatusOr<LogRecord> ParseLogRecord(absl::string_view line);

struct LogLine {
  std::string time;  // of its first record
  LogStream stream = LogStream::kStdout;
  std::string text;
  bool ended = true;  // false: the container wrote no newline after it
};

// Cuts a log file's bytes, fed in pieces of any size, into the lines that the container wrote:
// partial records are joined, each stream by itself. A line that is no record is passed on as it
// is.
class LogDecoder {
 public:
  // Lines from before `since` and from `until` on are dropped.
  explicit LogDecoder(absl::Time since = absl::InfinitePast(),
                      absl::Time until = absl::InfiniteFuture())
      : since_(since), until_(until) {}

  void Feed(absl::string_view bytes, const std::function<void(LogLine)>& emit);
  // The end of the log: what is still open is emitted unended.
  void Finish(const std::function<void(LogLine)>& emit);
  // Of the last record; "" before the first.
  const std::string& last_time() const { return last_time_; }

 private:
  void Decode(absl::string_view line, const std::function<void(LogLine)>& emit);
  void Emit(LogLine line, const std::function<void(LogLine)>& emit) const;

  const absl::Time since_, until_;
  std::string last_time_;
  std::string rest_;                  // bytes after the last newline
  std::array<LogLine, 2> open_ = {};  // by LogStream; `ended` is false while one is open
  std::array<bool, 2> is_open_ = {};
};

enum class DataStart { kOfLog, kAnywhere };

// Where the last `lines` lines begin in `data`, the end of a log file; npos if it holds no more
// than those. With kAnywhere the first line of `data` may be cut and does not count. A line of
// which records of the other stream stand between the parts may lose its beginning.
size_t FindTail(absl::string_view data, int lines, DataStart data_start);

}  // namespace berth::cli
