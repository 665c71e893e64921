// One NRI plugin from its connection to its end: who it is, what it asked to be told, and the
// handshake (containerd/nri, README, "Plugin Registration"). Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "nri/v1alpha1/nri.pb.h"
#include "src/nri/connection.h"
#include "src/nri/options.h"

namespace berth::nri {

namespace api = ::nri::pkg::api::v1alpha1;

// "10-name" as its two parts. InvalidArgument: no two digits, or a character that no name has.
struct PluginName {
  std::string index, base;
  std::string Full() const { return index + "-" + base; }
};
absl::StatusOr<PluginName> ParsePluginName(absl::string_view text);

class Plugin {
 public:
  struct Callbacks {
    // Unasked updates of a plugin that takes part; returns those that failed.
    std::function<api::UpdateContainersResponse(const Plugin&, const api::UpdateContainersRequest&)>
        update;
    std::function<void(const Plugin&, const absl::Status& why)> ended;
  };
  // Of a connected socket. `name`: of one that was started, which says so itself for the others.
  static absl::StatusOr<std::shared_ptr<Plugin>> Start(UniqueFd socket,
                                                       std::optional<PluginName> name,
                                                       const PluginTimeouts& timeouts,
                                                       Callbacks callbacks);

  // Waits until it has registered itself. DeadlineExceeded, Unavailable.
  absl::Status AwaitRegistration();
  // `config` is its configuration, as it is. What it wants to be told is known after that.
  absl::Status Configure(const std::string& config, const std::string& runtime_version);
  // In as many messages as it takes. What it wants to be changed of what there is.
  absl::StatusOr<api::SynchronizeResponse> Synchronize(const api::SynchronizeRequest& all);

  // "10-name"; known from its registration on.
  std::string name() const;
  PluginName parts() const;  // of its name; both empty until then
  bool Wants(api::Event event) const;
  // An error with its name: what it says, or that it is gone (IsGone).
  absl::Status Call(const char* method, const google::protobuf::MessageLite& request,
                    google::protobuf::MessageLite* reply);
  // After an error: it was cut off, or has gone, and has not refused anything.
  static bool IsGone(const absl::Status& status);
  void Close() { connection_->Close(); }

 private:
  Plugin(std::optional<PluginName> name, const PluginTimeouts& timeouts, Callbacks callbacks)
      : timeouts_(timeouts), callbacks_(std::move(callbacks)), name_(std::move(name)) {}
  absl::StatusOr<std::string> Serve(const std::string& method, const std::string& payload);
  absl::Status Register(const api::RegisterPluginRequest& request);

  const PluginTimeouts timeouts_;
  const Callbacks callbacks_;
  mutable absl::Mutex mu_;
  std::optional<PluginName> name_ ABSL_GUARDED_BY(mu_);
  bool registered_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  uint32_t events_ ABSL_GUARDED_BY(mu_) = 0;
  std::unique_ptr<Connection> connection_;  // last: its threads use the rest
};

}  // namespace berth::nri
