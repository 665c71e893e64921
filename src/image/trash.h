// Deletion that nobody waits for: a directory is renamed into trash/ and its content unlinked by a
// background thread. Thread-safe. Also the place for other work that must not happen on a caller's
// thread.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "src/base/log.h"
#include "src/base/unique_fd.h"

namespace berth {

class Trash {
 public:
  // `directory` is trash/ itself; what an earlier run left there is deleted too. `log` may be null.
  static absl::StatusOr<std::unique_ptr<Trash>> Open(UniqueFd directory, const Log* log);
  ~Trash();  // lets the entry in work finish; the rest is left for the next run

  // Renames `name` below `from` away at once; NotFound is success.
  absl::Status Throw(int from, const std::string& name);

  // Runs `work` on the background thread, after what was queued before.
  void Run(std::function<void()> work);

  // Returns when all that was queued before is done. For tests.
  void Flush();

 private:
  Trash(UniqueFd directory, const Log* log) : directory_(std::move(directory)), log_(log) {}
  void Loop();
  void Delete(const std::string& name);

  const UniqueFd directory_;
  const Log* const log_;
  absl::Mutex mu_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mu_);
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace berth
