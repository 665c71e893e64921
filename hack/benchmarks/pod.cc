#include "hack/benchmarks/pod.h"

#include "absl/strings/str_cat.h"
#include "src/base/id.h"
#include "src/base/status_macros.h"

namespace berth::bench {
namespace {

namespace v1 = runtime::v1;

void SetNamespaces(v1::NamespaceOption& namespaces, Network network) {
  namespaces.set_network(network == Network::kHost ? v1::NamespaceMode::NODE
                                                   : v1::NamespaceMode::POD);
  namespaces.set_pid(v1::NamespaceMode::CONTAINER);
  namespaces.set_ipc(v1::NamespaceMode::POD);
}

}  // namespace

v1::PodSandboxConfig PodConfig(const PodOptions& options) {
  const std::string uid = NewId();
  v1::PodSandboxConfig config;
  config.mutable_metadata()->set_name(absl::StrCat("bench-", uid.substr(0, 12)));
  config.mutable_metadata()->set_namespace_("default");
  config.mutable_metadata()->set_uid(uid);
  if (options.network == Network::kPod) config.set_hostname("bench");
  config.set_log_directory(options.log_directory);
  config.mutable_labels()->insert({kLabel, "1"});
  config.mutable_linux()->set_cgroup_parent(options.cgroup_parent);
  SetNamespaces(*config.mutable_linux()->mutable_security_context()->mutable_namespace_options(),
                options.network);
  return config;
}

v1::ContainerConfig ContainerConfig(const std::string& name, const std::string& image,
                                    const std::vector<std::string>& command, Network network) {
  v1::ContainerConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_image()->set_image(image);
  config.mutable_command()->Assign(command.begin(), command.end());
  config.set_log_path(absl::StrCat(name, "-", NewId().substr(0, 12), ".log"));
  SetNamespaces(*config.mutable_linux()->mutable_security_context()->mutable_namespace_options(),
                network);
  config.mutable_linux()->mutable_resources()->set_cpu_shares(100);
  config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(256 << 20);
  return config;
}

absl::StatusOr<ScopedPod> ScopedPod::Run(const Peer& peer, const PodOptions& options) {
  const v1::PodSandboxConfig config = PodConfig(options);
  ASSIGN_OR_RETURN(const std::string id, peer.RunPod(config));
  return ScopedPod(peer, id, options, config);
}

ScopedPod::~ScopedPod() {
  if (!id_.empty()) Remove().IgnoreError();
}

absl::StatusOr<std::string> ScopedPod::Create(const std::string& name, const std::string& image,
                                              const std::vector<std::string>& command) const {
  return peer_->CreateContainer(id_, ContainerConfig(name, image, command, options_.network),
                                config_);
}

absl::StatusOr<std::string> ScopedPod::CreateAndStart(
    const std::string& name, const std::string& image,
    const std::vector<std::string>& command) const {
  ASSIGN_OR_RETURN(const std::string container, Create(name, image, command));
  RETURN_IF_ERROR(peer_->StartContainer(container));
  return container;
}

absl::Status ScopedPod::Remove() {
  const std::string id = std::exchange(id_, "");
  RETURN_IF_ERROR(peer_->StopPod(id));
  return peer_->RemovePod(id);
}

absl::Status RemoveLeftovers(const Peer& peer) {
  ASSIGN_OR_RETURN(const std::vector<std::string> pods, peer.PodsWithLabel(kLabel));
  for (const std::string& pod : pods) {
    RETURN_IF_ERROR(peer.StopPod(pod));
    RETURN_IF_ERROR(peer.RemovePod(pod));
  }
  return absl::OkStatus();
}

}  // namespace berth::bench
