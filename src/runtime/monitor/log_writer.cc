#include "src/runtime/monitor/log_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "src/runtime/monitor/loop.h"

namespace berth::monitor {
namespace {

constexpr size_t kTimestampBytes = 30;  // 2026-01-02T03:04:05.123456789Z
constexpr size_t kHeaderBytes = kTimestampBytes + 1 + 6 + 1 + 1 + 1;

// Records are gathered here and written together; the monitor has one thread, so one buffer serves
// all.
char out[128 << 10];
size_t out_used = 0;
char timestamp[kTimestampBytes];  // of what is being written

// 16 bytes at a time, in line: musl copies by `rep movs` and looks for a byte by eights, each of
// which takes as long for a line of usual length as the kernel takes to write it.
constexpr size_t kStride = 16;

void Copy(char* to, const char* from, size_t bytes) {
  if (bytes < kStride) {
    for (size_t i = 0; i < bytes; ++i) to[i] = from[i];
    return;
  }
  for (size_t i = 0; i + kStride < bytes; i += kStride) __builtin_memcpy(to + i, from + i, kStride);
  __builtin_memcpy(to + bytes - kStride, from + bytes - kStride, kStride);
}

const char* FindNewline(const char* data, size_t bytes) {
#if defined(__SSE2__)
  typedef char Stride __attribute__((vector_size(kStride)));
  const Stride newlines = Stride{} + '\n';
  for (; bytes >= kStride; data += kStride, bytes -= kStride) {
    Stride some;
    __builtin_memcpy(&some, data, kStride);
    const int found = __builtin_ia32_pmovmskb128(some == newlines);
    if (found != 0) return data + __builtin_ctz(found);
  }
#endif
  return static_cast<const char*>(memchr(data, '\n', bytes));
}

void PutDigits(char* at, int64_t value, int digits) {
  for (int i = digits - 1; i >= 0; --i, value /= 10) at[i] = static_cast<char>('0' + value % 10);
}

void FormatTimestamp() {
  const int64_t now = WallNanoseconds();
  const time_t seconds = now / 1000000000;
  static time_t formatted = -1;
  char* at = timestamp;
  PutDigits(at + 20, now % 1000000000, 9);
  if (seconds == formatted) return;
  formatted = seconds;
  tm utc;
  gmtime_r(&seconds, &utc);
  memcpy(at, "0000-00-00T00:00:00.", 20);
  at[kTimestampBytes - 1] = 'Z';
  PutDigits(at, utc.tm_year + 1900, 4);
  PutDigits(at + 5, utc.tm_mon + 1, 2);
  PutDigits(at + 8, utc.tm_mday, 2);
  PutDigits(at + 11, utc.tm_hour, 2);
  PutDigits(at + 14, utc.tm_min, 2);
  PutDigits(at + 17, utc.tm_sec, 2);
}

}  // namespace

LogWriter::~LogWriter() {
  for (Partial& partial : partial_) free(partial.bytes);
  if (file_ >= 0) close(file_);
}

void LogWriter::SetFile(int fd) {
  if (file_ >= 0) close(file_);
  file_ = fd;
  torn_ = false;
  struct stat info;
  file_bytes_ = fd >= 0 && fstat(fd, &info) == 0 ? info.st_size : 0;
}

void LogWriter::SetLimits(const wire::LogLimits& limits) {
  limits_ = limits;
  allowance_ = static_cast<int64_t>(limits.bytes_per_second);
  refilled_at_ms_ = BootMilliseconds();
}

bool LogWriter::Fits(size_t bytes) const {
  return limits_.max_bytes == 0 || file_bytes_ + out_used + bytes <= limits_.max_bytes;
}

bool LogWriter::MayPut(size_t bytes) {
  if (!Fits(bytes)) return false;
  const auto rate = static_cast<int64_t>(limits_.bytes_per_second);
  if (rate == 0) return true;
  const int64_t now = BootMilliseconds(), passed = now - refilled_at_ms_;
  if (passed > 0) {
    const int64_t gained = passed >= 1000 ? rate : rate * passed / 1000;
    allowance_ = gained > rate - allowance_ ? rate : allowance_ + gained;
    if (gained > 0) refilled_at_ms_ = now;
  }
  // A record that is longer than a second's worth would never be allowed.
  if (allowance_ < rate && allowance_ < static_cast<int64_t>(bytes)) return false;
  allowance_ -= static_cast<int64_t>(bytes);
  return true;
}

void LogWriter::WriteOut() {
  // What a full disk cut off stays one bad line: it does not swallow the next record.
  if (torn_ && out_used > 0 && write(file_, "\n", 1) == 1) torn_ = false;
  size_t done = 0;
  while (done < out_used) {
    const ssize_t n = write(file_, out + done, out_used - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      dropped_bytes_ += out_used - done;
      if (done > 0) torn_ = out[done - 1] != '\n';
      break;
    }
    done += n;
  }
  file_bytes_ += done;
  out_used = 0;
}

void LogWriter::Append(Stream stream, char tag, const char* head, size_t head_bytes,
                       const char* tail, size_t tail_bytes) {
  Partial& line = partial_[stream];
  const size_t bytes = head_bytes + tail_bytes;
  if (!line.dropping && !MayPut(kHeaderBytes + bytes + 1)) {
    line.dropping = true;
    // Or readers would join the next line to what there is of this one.
    if (line.begun && Fits(kHeaderBytes + 1)) Put(stream, 'F', nullptr, 0, nullptr, 0);
  }
  if (line.dropping) {
    dropped_bytes_ += bytes + (tag == 'F' ? 1 : 0);
  } else {
    Put(stream, tag, head, head_bytes, tail, tail_bytes);
  }
  line.begun = tag == 'P' && !line.dropping;
  if (tag == 'F') line.dropping = false;
}

void LogWriter::Put(Stream stream, char tag, const char* head, size_t head_bytes, const char* tail,
                    size_t tail_bytes) {
  if (out_used + kHeaderBytes + head_bytes + tail_bytes + 1 > sizeof(out)) WriteOut();
  char* at = out + out_used;
  Copy(at, timestamp, kTimestampBytes);
  at += kTimestampBytes;
  memcpy(at, stream == kStdout ? " stdout " : " stderr ", 8);
  at += 8;
  *at++ = tag;
  *at++ = ' ';
  Copy(at, head, head_bytes);
  at += head_bytes;
  Copy(at, tail, tail_bytes);
  at += tail_bytes;
  *at++ = '\n';
  out_used = at - out;
}

void LogWriter::Write(Stream stream, const char* data, size_t bytes) {
  if (file_ < 0) return;
  FormatTimestamp();
  Partial& partial = partial_[stream];
  while (bytes > 0) {
    const size_t room = kMaxLineBytes - partial.used;
    const char* newline = FindNewline(data, bytes < room + 1 ? bytes : room + 1);
    if (newline != nullptr) {
      const size_t line = newline - data;
      Append(stream, 'F', partial.bytes, partial.used, data, line);
      partial.used = 0;
      data += line + 1;
      bytes -= line + 1;
    } else if (bytes > room) {
      Append(stream, 'P', partial.bytes, partial.used, data, room);
      partial.used = 0;
      data += room;
      bytes -= room;
    } else {
      if (partial.bytes == nullptr) partial.bytes = static_cast<char*>(malloc(kMaxLineBytes));
      if (partial.bytes == nullptr) {
        Append(stream, 'P', nullptr, 0, data, bytes);
      } else {
        memcpy(partial.bytes + partial.used, data, bytes);
        partial.used += bytes;
      }
      bytes = 0;
    }
  }
  WriteOut();
}

void LogWriter::Finish(Stream stream) {
  Partial& partial = partial_[stream];
  if (partial.used == 0 || file_ < 0) return;
  FormatTimestamp();
  Append(stream, 'P', partial.bytes, partial.used, nullptr, 0);
  partial.used = 0;
  WriteOut();
}

void LogWriter::Flush() {
  Finish(kStdout);
  Finish(kStderr);
}

}  // namespace berth::monitor
