// The last operations on pods, containers and images, with their stages and how they ended: what
// `berth why` tells. Bounded: the oldest records make room, and those of one object for each other
// first, so that one that fails in a loop does not push out all others. Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/base/steady_time.h"

namespace berth {

struct OperationRecord {
  struct Stage {
    const char* name;
    absl::Duration took;
  };
  const char* kind = "";  // "RunPodSandbox"
  // "namespace/pod", "namespace/pod/container", an image's reference.
  std::string subject;
  std::string pod_id, container_id;  // "" while unknown
  std::string for_pod;               // a pull's "namespace/pod", "" if it was not told
  int64_t started_at = 0;            // ns since the epoch
  absl::Duration took;
  bool running = true;
  std::vector<Stage> stages;  // in their order; a failed operation ended in the last one
  absl::Status status;
};

class OperationLog {
 public:
  struct Limits {
    size_t records = 1024, records_of_subject = 32, stages = 16, text_bytes = 1024;
  };
  // `ended` is called for each operation that ends, on its thread.
  explicit OperationLog(Limits limits, std::function<void(const OperationRecord&)> ended = nullptr);

  // One operation under way. Move-only; ends with the object if End was not called.
  class Operation {
   public:
    Operation(Operation&& other) noexcept = default;
    ~Operation();
    // The stage that begins; it ends the one before. `name` is a literal.
    void Stage(const char* name);
    void SetPod(absl::string_view id);
    void SetContainer(absl::string_view id);
    // Returns `status`.
    absl::Status End(absl::Status status);

   private:
    friend class OperationLog;
    Operation(OperationLog& log, std::shared_ptr<OperationRecord> record)
        : log_(&log), record_(std::move(record)), begin_(SteadyNow()) {}
    void EndStage() ABSL_EXCLUSIVE_LOCKS_REQUIRED(log_->mu_);
    OperationLog* log_;
    std::shared_ptr<OperationRecord> record_;  // null once ended
    absl::Time begin_, stage_begin_;
  };
  struct Subject {
    std::string name, pod_id, container_id, for_pod;
  };
  Operation Begin(const char* kind, Subject subject);

  // Copies of those that `matches` accepts, oldest first.
  std::vector<OperationRecord> Find(
      const std::function<bool(const OperationRecord&)>& matches) const;

 private:
  using Records = std::deque<std::shared_ptr<OperationRecord>>;
  void Erase(Records::iterator record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Limits limits_;
  const std::function<void(const OperationRecord&)> ended_;
  mutable absl::Mutex mu_;
  Records records_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, size_t> records_of_ ABSL_GUARDED_BY(mu_);  // by subject
};

}  // namespace berth
