// The node that the tests of one process share: a registry, a daemon with the probe image, a
// client.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "test/e2e/client.h"
#include "test/e2e/daemon.h"
#include "test/e2e/oracle.h"
#include "test/e2e/stub_registry.h"

namespace berth::e2e {

class Node {
 public:
  // Started at the first call, stopped by StopShared(). The status says why there is none.
  static absl::StatusOr<Node*> Shared();
  // Terminates the daemon. Called by the environment at the end.
  static absl::Status StopShared();

  Daemon& daemon() { return *daemon_; }
  Client& client() { return *client_; }
  StubRegistry& registry() { return *registry_; }
  // Reference and id of the probe image, which is pulled.
  const std::string& probe_image() const { return probe_image_; }
  const std::string& probe_id() const { return probe_id_; }
  OracleScope oracle_scope() const;

  // Makes what a daemon makes once and keeps (bridge, packet filter table, ready networks,
  // connections) where it is not there, as after a restart without pods: the state that snapshots
  // are compared in.
  absl::Status Settle();

  // After daemon().StartAgain(): a new connection.
  void Reconnect();

  // The options that the shared daemon has, for another daemon beside it: own directory, bridge and
  // subnets.
  static Daemon::Options OptionsFor(const std::string& name, int number);

 private:
  Node() = default;
  absl::Status Start();
  bool IsSettled() const;
  absl::Status RunOnePod();

  std::unique_ptr<StubRegistry> registry_;
  std::optional<Daemon> daemon_;
  std::unique_ptr<Client> client_;
  std::string probe_image_, probe_id_;
};

}  // namespace berth::e2e
