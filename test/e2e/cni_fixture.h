// A daemon of a test's own whose pods get their network from CNI plugins: Debian's, and one that
// records and misbehaves (src/sandbox/network/testing/recording_plugin.py). What plugins make once
// and keep (bridges, iptables chains) is removed after the test; what they made for a pod is for
// the leak oracle to find.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "test/e2e/e2e_test.h"
#include "test/e2e/own_node.h"

namespace berth::e2e {

class CniFixture : public E2eTest {
 protected:
  static constexpr char kDebianPlugins[] = "/usr/lib/cni";
  static constexpr char kBridge[] = "cnibr0";

  void SetUp() override;
  void TearDown() override;

  // `more` is a section [cni] goes on with.
  void StartNode(const std::string& more = "");
  Client& cni() { return own_->client(); }
  Daemon& daemon() { return own_->daemon(); }
  void KillAndStartAgain();
  void ReconnectNode() { own_->Reconnect(); }  // after daemon().StartAgain()
  // SIGKILL for everything, and what a reboot clears is gone: namespaces, links, /run, boot id.
  void Reboot();

  // A *.conflist in the configuration directory; "" removes it. Before or after StartNode.
  void WriteNetwork(const Json& plugins, const std::string& version = "1.0.0");
  void RemoveNetwork();
  bool WaitUntilReady();
  // The condition NetworkReady.
  cri::RuntimeCondition NetworkCondition();
  // Verbose Status: what there is to know of CNI.
  Json Described();

  // host-local with a range of each family, its leases below the test's directory.
  Json Ipam(const std::vector<std::string>& subnets) const;
  Json Bridge(const std::vector<std::string>& subnets = {"10.77.0.0/28", "fd77::/64"}) const;
  static Json Portmap();
  static Json Limits();
  static bool HasLimits();  // whether this kernel can what bandwidth limits are made of
  static Json Recording();
  // Addresses that host-local or the recording plugin has given away.
  std::vector<std::string> Leases() const;
  // "COMMAND MODE" a line; "" to behave.
  void Misbehave(const std::string& modes) const;
  std::vector<Json> Calls() const;
  std::vector<std::string> Pins() const;  // names of network namespaces

  // A pod of `config` with a server on port 8080 that answers with its hostname.
  absl::StatusOr<Pod> Serve(const cri::PodSandboxConfig& config);
  std::vector<std::string> Addresses(const Pod& pod);
  // What a program in the node's network gets from there; "" for nothing.
  std::string Ask(const std::string& address, const std::string& port = "8080");
  // Output of a shell command on the node.
  static std::string Shell(const std::string& command);
  static bool Succeeds(const std::string& command);

  std::string directory() const { return NodeDir() + "/cni-test"; }
  Daemon::Options OptionsOfNode() const { return Node::OptionsFor("cni", 2); }

 private:
  std::string ConfigPath() const { return OptionsOfNode().dir + "/net.d/10-test.conflist"; }

  std::optional<OwnNode> own_;
  int boots_ = 0;
};

}  // namespace berth::e2e
