// For tests of registries: a daemon that reads hosts.toml from a directory of the test's, and one
// open docker-registry whose content others may serve in their own way.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "test/e2e/certificates.h"
#include "test/e2e/docker_registry.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/own_node.h"
#include "test/e2e/volume.h"

namespace berth::e2e {

class RegistryTest : public E2eTest {
 protected:
  void SetUp() override;
  void TearDown() override;
  // More of the daemon's configuration; called once in SetUp, when dir() is there.
  virtual std::string MoreConfig() { return ""; }

  HostDir& dir() { return *dir_; }
  Client& berth() { return own_->client(); }
  Daemon& daemon() { return own_->daemon(); }
  // Plain HTTP, for everybody; Push goes here.
  DockerRegistry& open_registry() { return *open_; }
  // Another registry with the open one's content.
  std::unique_ptr<DockerRegistry> StartRegistry(const std::string& name,
                                                DockerRegistry::Options options);
  // One that speaks TLS with a certificate of authority(); `more_tls` are members of its "tls".
  std::unique_ptr<DockerRegistry> StartTlsRegistry(const std::string& name,
                                                   const std::string& more_tls = "",
                                                   const std::string& config = "");
  const Certificate& authority() { return *authority_; }

  void WriteHosts(const std::string& host, const std::string& toml);
  // An image that no other test has, pushed as <name>:v1; returns "<host>/<name>:v1".
  std::string Push(const std::string& name, const std::string& host);
  absl::StatusOr<std::string> Pull(const std::string& reference, const cri::AuthConfig& auth = {});

 private:
  std::optional<HostDir> dir_;
  std::optional<OwnNode> own_;
  std::unique_ptr<DockerRegistry> open_;
  std::optional<Certificate> authority_;
};

}  // namespace berth::e2e
