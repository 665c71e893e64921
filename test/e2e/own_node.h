// A daemon of a test's own beside the shared one, for what needs another configuration: CDI and
// hook directories, handlers, limits. Move-only. The destructor ends it and removes its traces; an
// error there fails the test.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "test/e2e/client.h"
#include "test/e2e/daemon.h"

namespace berth::e2e {

class OwnNode {
 public:
  // `name` is that of its directory below NodeDir(); `config` is appended to berth.toml. The probe
  // image is pulled.
  static absl::StatusOr<OwnNode> Start(const std::string& name, const std::string& config);
  // The same with the systemd cgroup driver; pods without a cgroup_parent go to `slice`.
  static absl::StatusOr<OwnNode> StartWithSystemd(const std::string& name,
                                                  const std::string& slice);
  // A berthd with failpoints (failpoint_files.h).
  static absl::StatusOr<OwnNode> StartWithFailpoints(const std::string& name);
  OwnNode(OwnNode&& other) noexcept = default;
  OwnNode& operator=(OwnNode&& other) = delete;
  ~OwnNode();

  Client& client() { return *client_; }
  Daemon& daemon() { return *daemon_; }
  // After daemon().StartAgain(): a new connection.
  void Reconnect();

 private:
  OwnNode() = default;
  static absl::StatusOr<OwnNode> StartWith(const Daemon::Options& options);

  std::optional<Daemon> daemon_;
  std::unique_ptr<Client> client_;
};

}  // namespace berth::e2e
