// Trees of files that are removed without anybody waiting for it, by one thread, in the order in
// which they came, and a moment later: on the processor that whoever gave them still has an answer
// to give on. What it leaves at its end the image store finds in trash/ at the next start.
// Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/base/log.h"

namespace berth {

class RemovalQueue {
 public:
  // ResourceExhausted when there is no thread to be had.
  static absl::StatusOr<std::unique_ptr<RemovalQueue>> Start(const Log& log);
  ~RemovalQueue();  // what is not removed yet stays

  // What cannot be removed is tried again, for as long as this object lives; the log says so once.
  void Add(std::string path);

 private:
  explicit RemovalQueue(const Log& log) : log_(log) {}
  struct Tree {
    std::string path;
    bool told = false;  // that it cannot be removed
  };
  // The next once it is due; nullopt: this object ends.
  std::optional<Tree> Next();
  void Run();
  bool IsStopping() const;

  const Log& log_;
  mutable absl::Mutex mu_;
  std::multimap<absl::Time, Tree> trees_ ABSL_GUARDED_BY(mu_);  // by when they are due
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace berth
