// Structured log lines on stderr: text (key=value) or JSON. Thread-safe; one write(2) per line.
// main() makes one Log and passes it by reference; a loop or interceptor that owns a failure logs
// it once.
#pragma once

#include <atomic>
#include <initializer_list>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace berth {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kText, kJson };

struct LogField {
  template <typename T>  // anything that absl::StrCat takes
  LogField(absl::string_view key, const T& value) : key(key), value(absl::StrCat(value)) {}
  absl::string_view key;
  std::string value;
};

class Log {
 public:
  explicit Log(LogLevel level = LogLevel::kInfo, LogFormat format = LogFormat::kText, int fd = 2)
      : level_(level), format_(format), fd_(fd) {}

  // From the next line on.
  void Configure(LogLevel level, LogFormat format) {
    level_ = level;
    format_ = format;
  }

  // Whether a line of that level would be written: for those that cost something to put together.
  bool Writes(LogLevel level) const { return level >= level_; }

  void Debug(absl::string_view message, std::initializer_list<LogField> fields = {}) const {
    Write(LogLevel::kDebug, message, fields);
  }
  void Info(absl::string_view message, std::initializer_list<LogField> fields = {}) const {
    Write(LogLevel::kInfo, message, fields);
  }
  void Warning(absl::string_view message, std::initializer_list<LogField> fields = {}) const {
    Write(LogLevel::kWarning, message, fields);
  }
  void Error(absl::string_view message, std::initializer_list<LogField> fields = {}) const {
    Write(LogLevel::kError, message, fields);
  }

 private:
  void Write(LogLevel level, absl::string_view message,
             std::initializer_list<LogField> fields) const;

  std::atomic<LogLevel> level_;
  std::atomic<LogFormat> format_;
  const int fd_;
};

// `text` with C0/C1 control characters and quotes escaped, so that foreign text cannot forge a
// line.
std::string EscapeForLog(absl::string_view text);

}  // namespace berth
