#include "src/cli/log_tail.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/status_macros.h"

namespace berth::cli {
namespace {

constexpr size_t kReadBytes = 64 << 10;
constexpr absl::Duration kFirstAsk = absl::Milliseconds(10);
constexpr absl::Duration kLastAsk = absl::Milliseconds(200);

bool IsSame(const struct stat& a, const struct stat& b) {
  return a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

// Of the first record; InfinitePast for what is no log (an archived one).
absl::Time FirstTime(const UniqueFd& file) {
  char start[64];
  absl::Time time = absl::InfinitePast();
  const ssize_t n = pread(file.get(), start, sizeof(start), 0);
  if (n <= 0) return time;
  const absl::string_view text(start, static_cast<size_t>(n));
  if (!absl::ParseTime(absl::RFC3339_full, text.substr(0, text.find(' ')), &time, nullptr))
    return absl::InfinitePast();
  return time;
}

UniqueFd OpenLog(const std::string& path) {
  return UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
}

// Takes those out of which nothing more is to come.
absl::Status FinishEnded(std::vector<FollowedLog>* logs) {
  for (auto followed = logs->begin(); followed != logs->end();) {
    ASSIGN_OR_RETURN(const bool ended, followed->ended());
    if (!ended && !followed->log->past_its_end(absl::Now())) {
      ++followed;
      continue;
    }
    RETURN_IF_ERROR(followed->log->Pump().status());
    followed->log->Finish();
    followed = logs->erase(followed);
  }
  return absl::OkStatus();
}

}  // namespace

LogTail::LogTail(std::string path, const LogOptions& options, Output& output)
    : path_(std::move(path)),
      options_(options),
      output_(output),
      decoder_(options.since, options.until) {}

absl::StatusOr<bool> LogTail::Pump() {
  if (!file_.valid()) RETURN_IF_ERROR(OpenFirst());
  if (!file_.valid()) return false;
  bool any = false;
  while (true) {
    // In this order: once something is in the next file, the monitor writes nothing more to this
    // one.
    UniqueFd next = OpenRotated();
    ASSIGN_OR_RETURN(const bool read_any, ReadToEnd());
    any = any || read_any;
    if (!next.valid()) return any;
    for (UniqueFd& missed : OpenMissed(next)) {
      file_ = std::move(missed);
      RETURN_IF_ERROR(ReadToEnd().status());
    }
    file_ = std::move(next);
  }
}

absl::Status LogTail::OpenFirst() {
  UniqueFd file = OpenLog(path_);
  if (!file.valid()) return errno == ENOENT ? absl::OkStatus() : ErrnoStatus("open", path_);
  struct stat info;
  if (fstat(file.get(), &info) != 0) return ErrnoStatus("stat", path_);
  if (!S_ISREG(info.st_mode))
    return absl::FailedPreconditionError(absl::StrCat(path_, ": not a file"));
  file_ = std::move(file);
  if (!options_.tail.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const off_t offset, TailOffset());
  if (lseek(file_.get(), offset, SEEK_SET) < 0) return ErrnoStatus("seek", path_);
  return absl::OkStatus();
}

// Looks at ever larger ends of the file, so that the tail of a large log costs little.
absl::StatusOr<off_t> LogTail::TailOffset() const {
  const off_t size = lseek(file_.get(), 0, SEEK_END);
  for (off_t window = kReadBytes;; window *= 2) {
    const off_t start = std::max<off_t>(0, size - window);
    std::string data(static_cast<size_t>(size - start), '\0');
    const ssize_t n = pread(file_.get(), data.data(), data.size(), start);
    if (n < 0) return ErrnoStatus("read", path_);
    data.resize(static_cast<size_t>(n));
    const size_t found =
        FindTail(data, *options_.tail, start == 0 ? DataStart::kOfLog : DataStart::kAnywhere);
    if (found != absl::string_view::npos) return start + static_cast<off_t>(found);
    if (start == 0) return 0;
  }
}

absl::StatusOr<bool> LogTail::ReadToEnd() {
  std::string buffer(kReadBytes, '\0');
  bool any = false;
  while (true) {
    const ssize_t n = read(file_.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("read", path_);
    if (n == 0) break;
    any = true;
    decoder_.Feed(absl::string_view(buffer.data(), static_cast<size_t>(n)),
                  [this](const LogLine& line) { Print(line); });
  }
  if (any) {
    output_.out.flush();
    output_.err.flush();
  }
  return any;
}

UniqueFd LogTail::OpenRotated() const {
  UniqueFd now = OpenLog(path_);
  struct stat open_info, path_info;
  if (!now.valid() || fstat(now.get(), &path_info) != 0 || fstat(file_.get(), &open_info) != 0)
    return {};
  if (IsSame(open_info, path_info) || path_info.st_size == 0) return {};
  return now;
}

// Rotated files are "<path>.<when>"; their own first records tell their order, whatever the rotator
// calls them.
std::vector<UniqueFd> LogTail::OpenMissed(const UniqueFd& next) const {
  struct Found {
    absl::Time first;
    UniqueFd file;
  };
  std::vector<Found> found;
  struct stat open_info, next_info, info;
  if (fstat(file_.get(), &open_info) != 0 || fstat(next.get(), &next_info) != 0) return {};
  absl::Time last = absl::TimeFromTimespec(open_info.st_mtim);  // as of nothing read yet
  absl::ParseTime(absl::RFC3339_full, decoder_.last_time(), &last, nullptr);
  std::error_code error;
  const std::filesystem::path log(path_);
  for (const auto& entry : std::filesystem::directory_iterator(log.parent_path(), error)) {
    const std::string name = entry.path().filename().string();
    if (!absl::StartsWith(name, log.filename().string() + ".")) continue;
    UniqueFd file = OpenLog(entry.path().string());
    if (!file.valid() || fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    if (IsSame(info, open_info) || IsSame(info, next_info)) continue;
    const absl::Time first = FirstTime(file);
    if (first >= last) found.push_back({.first = first, .file = std::move(file)});
  }
  std::sort(found.begin(), found.end(),
            [](const Found& a, const Found& b) { return a.first < b.first; });
  std::vector<UniqueFd> files;
  for (Found& one : found) files.push_back(std::move(one.file));
  return files;
}

void LogTail::Finish() {
  decoder_.Finish([this](const LogLine& line) { Print(line); });
  output_.out.flush();
  output_.err.flush();
}

void LogTail::Print(const LogLine& line) {
  std::ostream& stream = line.stream == LogStream::kStdout ? output_.out : output_.err;
  stream << options_.prefix;
  if (options_.timestamps && !line.time.empty()) stream << line.time << ' ';
  stream << line.text;
  if (line.ended) stream << '\n';
}

int LogTail::watch_fd() {
  if (watch_.valid()) return watch_.get();
  UniqueFd watch(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  const std::string dir = path_.substr(0, path_.rfind('/') + 1);
  if (!watch.valid() ||
      inotify_add_watch(watch.get(), dir.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0) {
    return -1;
  }
  watch_ = std::move(watch);
  return watch_.get();
}

void LogTail::DrainEvents() {
  char events[4096];
  while (watch_.valid() && read(watch_.get(), events, sizeof(events)) > 0) {
  }
}

absl::Status FollowLogs(std::vector<FollowedLog> logs, const FollowHooks& hooks) {
  absl::Duration wait = kFirstAsk;
  absl::Time next_ask = absl::InfinitePast();
  while (true) {
    std::vector<pollfd> fds = {{.fd = hooks.interrupt_fd, .events = POLLIN, .revents = 0}};
    for (const FollowedLog& followed : logs) {
      fds.push_back({.fd = followed.log->watch_fd(), .events = POLLIN, .revents = 0});
      ASSIGN_OR_RETURN(const bool any, followed.log->Pump());
      if (any) wait = kFirstAsk;
    }
    if (absl::Now() >= next_ask) {
      RETURN_IF_ERROR(FinishEnded(&logs));
      if (logs.empty()) return absl::OkStatus();
      next_ask = absl::Now() + wait;
      wait = std::min(wait * 2, kLastAsk);
    }
    const auto timeout = absl::ToInt64Milliseconds(next_ask - absl::Now()) + 1;
    poll(fds.data(), fds.size(), static_cast<int>(std::max<int64_t>(1, timeout)));
    if ((fds[0].revents & POLLIN) != 0) hooks.on_interrupt();
    for (const FollowedLog& followed : logs) followed.log->DrainEvents();
  }
}

}  // namespace berth::cli
