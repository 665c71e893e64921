#include "test/e2e/log_file.h"

#include <fstream>
#include <iterator>
#include <regex>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace berth::e2e {

absl::StatusOr<std::vector<LogRecord>> ParseLog(absl::string_view bytes) {
  static const std::regex* head = new std::regex(
      R"((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([PF]) )");
  std::vector<LogRecord> records;
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    const std::string line(bytes.substr(0, end));
    std::smatch match;
    const std::string start = line.substr(0, 64);
    if (end == absl::string_view::npos ||
        !std::regex_search(start, match, *head, std::regex_constants::match_continuous)) {
      return absl::InvalidArgumentError(
          absl::StrCat("log line: ", absl::CHexEscape(line.substr(0, 200))));
    }
    records.push_back(
        {match[1], match[2], match[3], line.substr(static_cast<size_t>(match.length(0)))});
    bytes.remove_prefix(end + 1);
  }
  return records;
}

absl::StatusOr<std::vector<LogRecord>> ReadLog(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return ErrnoStatus("open", path);
  return ParseLog(std::string(std::istreambuf_iterator<char>(file), {}));
}

std::string Joined(const std::vector<LogRecord>& records, absl::string_view stream) {
  std::string text;
  for (const LogRecord& record : records) {
    if (record.stream != stream) continue;
    absl::StrAppend(&text, record.content, record.tag == "F" ? "\n" : "");
  }
  return text;
}

}  // namespace berth::e2e
