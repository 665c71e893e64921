// An NRI plugin in the test's process. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "nri/v1alpha1/nri.pb.h"
#include "src/base/unique_fd.h"
#include "src/nri/connection.h"

namespace berth::nri {

class FakePlugin {
 public:
  // What it answers to a call of this method: the serialized reply. Others get an empty one.
  using Answers =
      std::map<std::string, std::function<absl::StatusOr<std::string>(const std::string& payload)>>;
  struct Call {
    std::string method, payload;
  };

  // Connects to `socket` and registers itself as "index-name", for all events, or those in the
  // mask.
  static absl::StatusOr<std::unique_ptr<FakePlugin>> Connect(const std::string& socket,
                                                             const std::string& index,
                                                             const std::string& name,
                                                             Answers answers = {},
                                                             int32_t events = 0);

  // All so far, in their order.
  std::vector<Call> Calls() const;
  // Their methods, of one pod or container ("": all).
  std::vector<std::string> Methods(const std::string& id = "") const;
  // False: it has not been called by this method within ten seconds.
  bool AwaitCall(const std::string& method) const;
  // Its connection has ended within ten seconds.
  bool AwaitEnd() const;

  absl::StatusOr<::nri::pkg::api::v1alpha1::UpdateContainersResponse> Update(
      const ::nri::pkg::api::v1alpha1::UpdateContainersRequest& request);
  void Disconnect() { connection_->Close(); }

 private:
  FakePlugin(Answers answers, int32_t events) : answers_(std::move(answers)), events_(events) {}
  absl::StatusOr<std::string> Serve(const std::string& method, const std::string& payload);

  const Answers answers_;
  const int32_t events_;
  mutable absl::Mutex mu_;
  std::vector<Call> calls_ ABSL_GUARDED_BY(mu_);
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  std::unique_ptr<Connection> connection_;
};

}  // namespace berth::nri
