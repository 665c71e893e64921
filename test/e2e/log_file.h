// A container's log file in CRI format, strictly parsed.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::e2e {

struct LogRecord {
  std::string timestamp, stream, tag, content;
};

// InvalidArgument with the line for anything but "<RFC 3339, nine fraction digits> <stdout|stderr>
// <P|F> <bytes>\n".
absl::StatusOr<std::vector<LogRecord>> ParseLog(absl::string_view bytes);

// The whole file; NotFound if there is none.
absl::StatusOr<std::vector<LogRecord>> ReadLog(const std::string& path);

// What the process wrote to one stream: contents joined, a newline after each F.
std::string Joined(const std::vector<LogRecord>& records, absl::string_view stream);

}  // namespace berth::e2e
