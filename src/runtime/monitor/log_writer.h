// A container's output as CRI log records (docs/formats/container-log.md):
//   2026-01-02T03:04:05.123456789Z stdout F text
// Lines longer than 16384 bytes become P records; output at the end of a stream without a newline
// stays P. One write(2) takes whole records only. Memory is fixed: one line of at most 16384 bytes
// for each stream. Lines carry the time at which they were read.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/runtime/monitor_protocol.h"

namespace berth::monitor {

inline constexpr size_t kMaxLineBytes = 16384;

class LogWriter {
 public:
  LogWriter() = default;
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;
  ~LogWriter();

  // Takes the fd of the log file; -1: what is written is dropped (no log was asked for).
  void SetFile(int fd);
  int file() const { return file_; }
  // What goes beyond is dropped and counted: a line that begins while there is no room is dropped
  // whole, one that ran out of it ends where it was cut off. A second's worth may come at once.
  void SetLimits(const wire::LogLimits& limits);

  enum Stream : int { kStdout = 0, kStderr = 1 };
  void Write(Stream stream, const char* data, size_t bytes);
  // The stream has ended: what it left without a newline is written as a P record.
  void Finish(Stream stream);
  // Writes what is partial so far (before the file is exchanged).
  void Flush();

  // Bytes of output that could not be written (disk full, I/O error) or that a limit forbade.
  uint64_t dropped_bytes() const { return dropped_bytes_; }

 private:
  struct Partial {
    char* bytes = nullptr;  // kMaxLineBytes, made at the first partial line
    size_t used = 0;
    bool begun = false;     // a P record of this line is in the log
    bool dropping = false;  // the rest of this line is dropped
  };
  void Append(Stream stream, char tag, const char* head, size_t head_bytes, const char* tail,
              size_t tail_bytes);
  void Put(Stream stream, char tag, const char* head, size_t head_bytes, const char* tail,
           size_t tail_bytes);
  bool Fits(size_t bytes) const;
  bool MayPut(size_t bytes);
  void WriteOut();

  int file_ = -1;
  bool torn_ = false;  // the file ends inside of a record that could not be written whole
  uint64_t dropped_bytes_ = 0;
  wire::LogLimits limits_ = {};
  uint64_t file_bytes_ = 0;  // with max_bytes
  int64_t allowance_ = 0;    // with bytes_per_second: what may be written now
  int64_t refilled_at_ms_ = 0;
  Partial partial_[2];
};

}  // namespace berth::monitor
