// Deletion that nobody waits for: a directory is renamed into trash/ and its content unlinked by a
// background thread, slowly. On a file system without a journal ext4 does not give an inode out
// again for minutes after its deletion (recently_deleted, fs/ext4/ialloc.c) but looks at each such
// one for every new file: a pull after the deletion of an image would take several times as long.
// So there is a rate, and nothing is deleted while a pull runs, until the disk gets full.
// Thread-safe. Also the place for other work that must not happen on a caller's thread.
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
#include "src/base/token_bucket.h"
#include "src/base/unique_fd.h"

namespace berth {

class Trash {
 public:
  struct Pace {
    double inodes_per_second = 200;
    double burst = 2000;  // inodes that may go at once after a quiet time
    // With less than this fraction of the disk's bytes or inodes free everything goes at once. The
    // kubelet's garbage collection begins at 15% free and ends at 20% (--image-gc-low-threshold).
    double least_free = 0.2;
  };

  // `directory` is trash/ itself; what an earlier run left there is deleted too. `log` may be null.
  static absl::StatusOr<std::unique_ptr<Trash>> Open(UniqueFd directory, const Log* log);
  static absl::StatusOr<std::unique_ptr<Trash>> Open(UniqueFd directory, const Log* log, Pace pace);
  ~Trash();  // what is not deleted yet is left for the next run

  // Renames `name` below `from` away at once; NotFound is success.
  absl::Status Throw(int from, const std::string& name);

  // Runs `work` on a background thread, after what was queued before, and again and again as long
  // as it fails. Deletions do not delay it.
  void Run(std::function<absl::Status()> work);

  // While one lives nothing is deleted, unless the disk is nearly full. For the time of a pull.
  class Pause {
   public:
    explicit Pause(Trash& trash);
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;
    ~Pause();

   private:
    Trash& trash_;
  };

  // Returns when all that was queued or thrown before is done, pauses included. For tests.
  void Flush();

 private:
  using Queue = std::deque<std::function<void()>>;

  Trash(UniqueFd directory, const Log* log, Pace pace);
  void Loop(Queue* queue);
  void Push(Queue* queue, std::function<void()> work);
  enum class Attempt { kFirst, kAgain };
  void Delete(const std::string& name, Attempt attempt);
  // False: this object ends.
  bool WaitToTryAgain();
  bool MayDelete();
  bool IsSpaceShort() const;

  const UniqueFd directory_;
  const Log* const log_;
  const Pace pace_;
  absl::Mutex mu_;
  Queue work_ ABSL_GUARDED_BY(mu_);
  Queue deletions_ ABSL_GUARDED_BY(mu_);
  int pauses_ ABSL_GUARDED_BY(mu_) = 0;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  TokenBucket bucket_;  // of the deleting thread
  int allowed_ = 0;     // of the deleting thread: inodes until it asks again
  std::thread worker_, deleter_;
};

}  // namespace berth
