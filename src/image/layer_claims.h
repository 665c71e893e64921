// Single flight per layer: which of the pulls that run at the same time fetches a layer that
// several of them want. The first that wants it gets it; the next one gets it when that one gives
// it up, and then looks first whether it is in the store by now. Thread-safe.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "src/base/unique_fd.h"

namespace berth {

class LayerClaims {
 public:
  // One pull. Gives everything up when it goes. One owner thread.
  class Party {
   public:
    explicit Party(LayerClaims& claims);
    ~Party();
    Party(const Party&) = delete;
    Party& operator=(const Party&) = delete;

    // Asks for layers, by diff_id; each comes out of Take once.
    void Want(const std::vector<std::string>& diff_ids);
    // What became this pull's since the last call.
    std::vector<std::string> Take();
    // Does another pull wait for a layer that this one has?
    bool IsAwaited(const std::string& diff_id) const;
    void GiveUp(const std::string& diff_id);

    // Readable when Take or IsAwaited may have something new (eventfd(2)); Take makes it
    // unreadable.
    int wake_fd() const { return wake_.get(); }

   private:
    friend class LayerClaims;
    LayerClaims& claims_;
    UniqueFd wake_;
    std::vector<std::string> given_;  // guarded by claims_.mu_, as is the next
    std::set<std::string> mine_;      // with those that it waits for
  };

 private:
  struct Claim {
    Party* owner = nullptr;
    std::deque<Party*> waiting;
  };
  static void Wake(const Party& party);
  void GiveUp(Party& party, const std::string& diff_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;
  std::map<std::string, Claim> claims_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth
