#include "src/cli/log_record.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace berth::cli {
namespace {

// A line longer than this is passed on in parts, so that a container cannot fill our memory.
constexpr size_t kMaxLineBytes = 1 << 20;

bool TakeWord(absl::string_view* text, absl::string_view* word) {
  const size_t space = text->find(' ');
  if (space == absl::string_view::npos || space == 0) return false;
  *word = text->substr(0, space);
  text->remove_prefix(space + 1);
  return true;
}

size_t IndexOf(LogStream stream) { return stream == LogStream::kStdout ? 0 : 1; }

}  // namespace

absl::StatusOr<LogRecord> ParseLogRecord(absl::string_view line) {
  LogRecord record;
  absl::string_view stream, tags;
  if (!TakeWord(&line, &record.time) || !TakeWord(&line, &stream) || !TakeWord(&line, &tags)) {
    return absl::InvalidArgumentError("log record: fewer than four words");
  }
  if (stream != "stdout" && stream != "stderr") {
    return absl::InvalidArgumentError(absl::StrCat("log record: unknown stream \"", stream, "\""));
  }
  const absl::string_view tag = tags.substr(0, tags.find(':'));
  if (tag != "F" && tag != "P") {
    return absl::InvalidArgumentError(absl::StrCat("log record: unknown tag \"", tag, "\""));
  }
  record.stream = stream == "stdout" ? LogStream::kStdout : LogStream::kStderr;
  record.partial = tag == "P";
  record.content = line;
  return record;
}

void LogDecoder::Feed(absl::string_view bytes, const std::function<void(LogLine)>& emit) {
  size_t newline = bytes.find('\n');
  if (!rest_.empty() && newline != absl::string_view::npos) {
    absl::StrAppend(&rest_, bytes.substr(0, newline));
    Decode(std::exchange(rest_, {}), emit);
    bytes.remove_prefix(newline + 1);
    newline = bytes.find('\n');
  }
  while (newline != absl::string_view::npos) {
    Decode(bytes.substr(0, newline), emit);
    bytes.remove_prefix(newline + 1);
    newline = bytes.find('\n');
  }
  absl::StrAppend(&rest_, bytes);
  if (rest_.size() > kMaxLineBytes) Decode(std::exchange(rest_, {}), emit);
}

void LogDecoder::Finish(const std::function<void(LogLine)>& emit) {
  if (!rest_.empty()) Decode(std::exchange(rest_, {}), emit);
  for (size_t i = 0; i < open_.size(); ++i) {
    if (std::exchange(is_open_[i], false)) Emit(std::exchange(open_[i], {}), emit);
  }
}

void LogDecoder::Decode(absl::string_view line, const std::function<void(LogLine)>& emit) {
  const absl::StatusOr<LogRecord> record = ParseLogRecord(line);
  if (!record.ok()) {
    emit(LogLine{.text = std::string(line)});
    return;
  }
  last_time_ = std::string(record->time);
  const size_t i = IndexOf(record->stream);
  if (!std::exchange(is_open_[i], true)) {
    open_[i] = LogLine{.time = std::string(record->time), .stream = record->stream};
  }
  absl::StrAppend(&open_[i].text, record->content);
  open_[i].ended = !record->partial;
  if (record->partial && open_[i].text.size() < kMaxLineBytes) return;
  is_open_[i] = false;
  Emit(std::exchange(open_[i], {}), emit);
}

void LogDecoder::Emit(LogLine line, const std::function<void(LogLine)>& emit) const {
  absl::Time time;
  const bool bounded = since_ != absl::InfinitePast() || until_ != absl::InfiniteFuture();
  if (bounded && absl::ParseTime(absl::RFC3339_full, line.time, &time, nullptr) &&
      (time < since_ || time >= until_)) {
    return;
  }
  emit(std::move(line));
}

size_t FindTail(absl::string_view data, int lines, DataStart data_start) {
  size_t end = data.size();
  if (end > 0 && data[end - 1] == '\n') --end;
  int found = 0;
  size_t start_of_next = data.size();
  while (start_of_next > 0) {
    const size_t newline = end == 0 ? absl::string_view::npos : data.rfind('\n', end - 1);
    if (newline == absl::string_view::npos && data_start == DataStart::kAnywhere) break;
    const size_t start = newline == absl::string_view::npos ? 0 : newline + 1;
    const auto record = ParseLogRecord(data.substr(start, end - start));
    const bool continues = record.ok() && record->partial && start_of_next != data.size();
    if (!continues) {
      if (found == lines) return start_of_next;
      ++found;
    }
    start_of_next = start;
    end = newline;
  }
  return absl::string_view::npos;
}

}  // namespace berth::cli
