// A container's output as CRI log records (docs/formats/container-log.md):
//   2026-01-02T03:04:05.123456789Z stdout F text
// Lines longer than 16384 bytes become P records; output at the end of a stream without a newline
// stays P. One write(2) takes whole records only. Memory is fixed: one line of at most 16384 bytes
// for each stream.
#pragma once

#include <cstddef>
#include <cstdint>

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

  enum Stream : int { kStdout = 0, kStderr = 1 };
  void Write(Stream stream, const char* data, size_t bytes);
  // The stream has ended: what it left without a newline is written as a P record.
  void Finish(Stream stream);
  // Writes what is partial so far (before the file is exchanged).
  void Flush();

  // Bytes of output that could not be written (disk full, I/O error).
  uint64_t dropped_bytes() const { return dropped_bytes_; }

 private:
  struct Partial {
    char* bytes = nullptr;  // kMaxLineBytes, made at the first partial line
    size_t used = 0;
  };
  void Append(Stream stream, char tag, const char* head, size_t head_bytes, const char* tail,
              size_t tail_bytes);
  void WriteOut();

  int file_ = -1;
  bool torn_ = false;  // the file ends inside of a record that could not be written whole
  uint64_t dropped_bytes_ = 0;
  Partial partial_[2];
};

}  // namespace berth::monitor
