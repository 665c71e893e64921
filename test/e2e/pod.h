// Pods and containers as tests make them: small makers for the CRI messages, and a pod that removes
// itself.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "test/e2e/client.h"
#include "test/e2e/log_file.h"

namespace berth::e2e {

// Metadata and a log directory below NodeDir(), nothing else: what critest and crictl send.
cri::PodSandboxConfig MakePodConfig(const std::string& name);

// With everything that a kubelet sends: hostname, DNS, labels, annotations, security context,
// resources and a cgroup parent, which is made as the kubelet makes it.
cri::PodSandboxConfig MakeKubeletPodConfig(const std::string& name);

// Sets one member of the security context's namespace options.
cri::NamespaceOption* NamespaceOptions(cri::PodSandboxConfig& config);
cri::NamespaceOption* NamespaceOptions(cri::ContainerConfig& config);
cri::LinuxContainerSecurityContext* Security(cri::ContainerConfig& config);

// A container of the probe image: command /probe with these arguments, log <name>/0.log.
cri::ContainerConfig MakeProbe(const std::string& name, const std::vector<std::string>& arguments);

// As a kubelet sends it: resources, masked and read-only paths, labels, annotations, environment.
cri::ContainerConfig MakeKubeletProbe(const std::string& name,
                                      const std::vector<std::string>& arguments);

// Directories of the node's cgroup hierarchies that `parent` ("/a/b") names, one per hierarchy,
// made if absent.
std::vector<std::string> MakeCgroup(const std::string& parent);

// Removes what MakeCgroup made and is empty, as the kubelet does once a pod is gone. What a daemon
// left below stays, for the oracle to find.
void RemoveMadeCgroups();

struct FinishedContainer {
  std::string id;
  cri::ContainerStatus status;
  std::vector<LogRecord> log;
};

// Move-only. Stopped and removed by the destructor, whatever its state; an error there fails the
// test.
class Pod {
 public:
  static absl::StatusOr<Pod> Run(Client& client, const cri::PodSandboxConfig& config,
                                 const std::string& handler = "");
  Pod(Pod&& other) noexcept;
  Pod& operator=(Pod&& other) noexcept;
  ~Pod();

  const std::string& id() const { return id_; }
  const cri::PodSandboxConfig& config() const { return config_; }
  // "<log_directory>/<name>/0.log".
  std::string LogPath(const std::string& container_name) const;

  absl::StatusOr<std::string> Create(const cri::ContainerConfig& config);
  // Create and Start; returns the id. A container that does not start is left for the pod's
  // removal.
  absl::StatusOr<std::string> RunContainer(const cri::ContainerConfig& config);
  // The same, then waits for its end and reads its log.
  absl::StatusOr<FinishedContainer> RunToEnd(const cri::ContainerConfig& config);
  // Runs a container whose stdout is one JSON document (probe report, paths, tree) and parses it.
  absl::StatusOr<nlohmann::json> RunForJson(const cri::ContainerConfig& config);
  // The same through ExecSync in a running container.
  absl::StatusOr<nlohmann::json> ExecForJson(const std::string& container,
                                             const std::vector<std::string>& arguments);

 private:
  Pod(Client* client, std::string id, cri::PodSandboxConfig config);
  void Reset();

  Client& client() const;

  Client* client_ = nullptr;
  bool on_shared_node_ = false;  // its client changes when its daemon restarts
  std::string id_;
  cri::PodSandboxConfig config_;
};

}  // namespace berth::e2e
