// The copies out of and into containers that run now: bounded in number, and ended before a
// container's files become something else. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "src/copy/copy_process.h"

namespace berth {

class RunningCopies {
 public:
  // A copy as its caller holds it; destroyed, it is over.
  class Hold {
   public:
    Hold(RunningCopies& copies, std::string container_id, std::unique_ptr<CopyProcess> process);
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    ~Hold();
    CopyProcess& process() { return *process_; }

   private:
    RunningCopies& copies_;
    const std::string container_id_;
    const std::unique_ptr<CopyProcess> process_;
  };

  // ResourceExhausted: there are too many.
  absl::Status CheckRoom() const;
  // Kills those of a container, and waits until they are gone.
  void End(absl::string_view container_id);

 private:
  static constexpr size_t kMost = 16;

  mutable absl::Mutex mu_;
  std::multimap<std::string, const CopyProcess*, std::less<>> running_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth
