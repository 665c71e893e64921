// What `berth doctor` looks at on the node itself: each check reads files below a root directory
// and says whether they are as Berth needs them, and if not what to do. Daemon and node may be
// looked at by whoever can read the files; what cannot be read is said to be unknown.
#pragma once

#include <string>
#include <vector>

#include "absl/types/span.h"

namespace berth::cli {

enum class Health { kGood, kWarning, kBad, kUnknown };

struct Finding {
  Health health = Health::kGood;
  std::string found;   // "6.18.5", "cgroup v1 (cpu memory pids)"
  std::string advice;  // what to do; "" for kGood
};

struct NodeFacts {
  std::string root;           // "" for this node; a tree in tests
  std::string socket;         // berthd's
  std::string cgroup_driver;  // berthd's: "cgroupfs", "systemd"; "" unknown
  std::string data_dir;       // "" unknown
  std::vector<std::string> certs_dirs = {"/etc/berth/certs.d", "/etc/containerd/certs.d",
                                         "/etc/docker/certs.d"};
  std::string network_mode;  // berthd's: "auto", "builtin", "cni"; "" unknown
  std::string cni_conf_dir = "/etc/cni/net.d";
  std::vector<std::string> cni_bin_dirs = {"/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"};
};

struct NodeCheck {
  const char* name;
  Finding (*look)(const NodeFacts& facts);
};
absl::Span<const NodeCheck> NodeChecks();

}  // namespace berth::cli
