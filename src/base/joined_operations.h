// Idempotent operations by name: a second call with the same name and the same fingerprint while
// the first runs waits for it and gets its result; one with another fingerprint is AlreadyExists.
// Thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace berth {

template <typename T>
class JoinedOperations {
 public:
  absl::StatusOr<T> Run(const std::string& name, const std::string& fingerprint,
                        absl::FunctionRef<absl::StatusOr<T>()> operation) {
    std::shared_ptr<Operation> mine;
    {
      absl::MutexLock lock(&mu_);
      const auto found = running_.find(name);
      if (found != running_.end()) {
        const std::shared_ptr<Operation> other = found->second;
        if (other->fingerprint != fingerprint) {
          return absl::AlreadyExistsError(
              absl::StrCat("\"", name, "\" is being made from another configuration"));
        }
        const auto done = [&other] { return other->result.has_value(); };
        mu_.Await(absl::Condition(&done));
        return *other->result;
      }
      mine = std::make_shared<Operation>();
      mine->fingerprint = fingerprint;
      running_[name] = mine;
    }
    absl::StatusOr<T> result = operation();
    absl::MutexLock lock(&mu_);
    mine->result = result;
    running_.erase(name);
    return result;
  }

 private:
  struct Operation {
    std::string fingerprint;
    std::optional<absl::StatusOr<T>> result;  // guarded by mu_
  };

  absl::Mutex mu_;
  absl::flat_hash_map<std::string, std::shared_ptr<Operation>> running_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth
