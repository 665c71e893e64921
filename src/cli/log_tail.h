// Reads a container's log file on this node as it grows, across rotation. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "src/base/unique_fd.h"
#include "src/cli/log_record.h"
#include "src/cli/output.h"

namespace berth::cli {

struct LogOptions {
  std::optional<int> tail;  // the last lines only
  absl::Time since = absl::InfinitePast();
  absl::Time until = absl::InfiniteFuture();
  bool timestamps = false;
  std::string prefix;  // of each line
};

// The log of one container, from its first line (or the tail) on.
class LogTail {
 public:
  // Nothing is opened yet: the file may appear later.
  LogTail(std::string path, const LogOptions& options, Output& output);

  // Prints all that is there. True if there was anything. A missing file is no failure.
  absl::StatusOr<bool> Pump();
  // Prints what is still open at the end of the log.
  void Finish();

  // Whether the file has been there.
  bool opened() const { return file_.valid(); }
  // Nothing that is written from now on is wanted.
  bool past_its_end(absl::Time now) const { return now >= options_.until; }
  // Readable when the log may have grown; -1 where the directory cannot be watched. DrainEvents()
  // after it.
  int watch_fd();
  void DrainEvents();

 private:
  absl::Status OpenFirst();
  absl::StatusOr<off_t> TailOffset() const;
  absl::StatusOr<bool> ReadToEnd();
  // The file now at the path, if it is another one than the open file and written to.
  UniqueFd OpenRotated() const;
  // What was written between the open file and `next`, oldest first: where the log was rotated more
  // than once since it was last looked at.
  std::vector<UniqueFd> OpenMissed(const UniqueFd& next) const;
  void Print(const LogLine& line);

  const std::string path_;
  const LogOptions options_;
  Output& output_;
  LogDecoder decoder_;
  UniqueFd file_;
  UniqueFd watch_;
};

struct FollowedLog {
  LogTail* log;  // borrowed
  // Whether the container will write nothing more.
  std::function<absl::StatusOr<bool>()> ended;
};

struct FollowHooks {
  int interrupt_fd = -1;
  std::function<void()> on_interrupt = [] {};
};

// Prints the logs until their containers have ended and everything is read.
absl::Status FollowLogs(std::vector<FollowedLog> logs, const FollowHooks& hooks);

}  // namespace berth::cli
