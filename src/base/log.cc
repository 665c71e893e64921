#include "src/base/log.h"

#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace berth {
namespace {

constexpr std::array kLevelNames = {"debug", "info", "warning", "error"};

std::string Quoted(absl::string_view value) {
  if (!value.empty() && value.find_first_of(" =\"\t\n") == absl::string_view::npos) {
    return EscapeForLog(value);
  }
  return absl::StrCat("\"", EscapeForLog(value), "\"");
}

std::string Json(absl::string_view time, absl::string_view level, absl::string_view message,
                 std::initializer_list<LogField> fields) {
  nlohmann::ordered_json line;
  line["time"] = std::string(time);
  line["level"] = std::string(level);
  line["msg"] = std::string(message);
  for (const LogField& field : fields) line[std::string(field.key)] = field.value;
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string Text(absl::string_view time, absl::string_view level, absl::string_view message,
                 std::initializer_list<LogField> fields) {
  std::string line = absl::StrCat("time=", time, " level=", level, " msg=", Quoted(message));
  for (const LogField& field : fields)
    absl::StrAppend(&line, " ", field.key, "=", Quoted(field.value));
  return line;
}

}  // namespace

std::string EscapeForLog(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      absl::StrAppendFormat(&out, "\\x%02x", byte);
    } else {
      out += c;
    }
  }
  return out;
}

void Log::Write(LogLevel level, absl::string_view message,
                std::initializer_list<LogField> fields) const {
  if (!Writes(level)) return;
  const std::string time =
      absl::FormatTime("%Y-%m-%dT%H:%M:%E6S%Ez", absl::Now(), absl::UTCTimeZone());
  const char* name = kLevelNames[static_cast<size_t>(level)];
  std::string line = format_ == LogFormat::kJson ? Json(time, name, message, fields)
                                                 : Text(time, name, message, fields);
  line += '\n';
  // A log line that cannot be written has nowhere to be reported.
  [[maybe_unused]] const ssize_t written = ::write(fd_, line.data(), line.size());
}

}  // namespace berth
