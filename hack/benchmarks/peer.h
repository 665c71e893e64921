// A runtime under measurement: one CRI socket and its calls, each with a deadline. Thread-safe.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cri/runtime/v1/api.grpc.pb.h"

namespace berth::bench {

struct PeerVersion {
  std::string runtime_name;
  std::string runtime_version;
};

class Peer {
 public:
  // `spec` is NAME=unix:///path/to.sock. InvalidArgument for another form; Unavailable when nothing
  // listens.
  static absl::StatusOr<Peer> Connect(const std::string& spec);

  const std::string& name() const { return name_; }
  const std::string& socket() const { return socket_; }
  // The process that listens on the socket.
  pid_t daemon() const { return daemon_; }

  absl::StatusOr<PeerVersion> Version() const;

  absl::StatusOr<std::string> RunPod(const runtime::v1::PodSandboxConfig& config) const;
  absl::Status StopPod(const std::string& id) const;
  absl::Status RemovePod(const std::string& id) const;

  absl::StatusOr<std::string> CreateContainer(
      const std::string& pod_id, const runtime::v1::ContainerConfig& config,
      const runtime::v1::PodSandboxConfig& pod_config) const;
  absl::Status StartContainer(const std::string& id) const;
  absl::Status StopContainer(const std::string& id, int timeout_seconds) const;
  absl::Status RemoveContainer(const std::string& id) const;

  // Fails too when the command's exit code is not 0.
  absl::Status ExecSync(const std::string& container_id,
                        const std::vector<std::string>& command) const;

  // How many entries the runtime lists; an empty filter, as the kubelet asks.
  absl::StatusOr<int> CountContainers() const;
  absl::StatusOr<int> CountPods() const;
  absl::StatusOr<int> CountContainerStats() const;
  absl::StatusOr<int> CountPodStats() const;
  absl::StatusOr<std::vector<std::string>> PodsWithLabel(const std::string& key) const;

  absl::Status PullImage(const std::string& image) const;
  absl::Status RemoveImage(const std::string& image) const;

 private:
  using RuntimeStub = runtime::v1::RuntimeService::StubInterface;
  using ImageStub = runtime::v1::ImageService::StubInterface;

  Peer(std::string name, std::string socket, pid_t daemon);

  // `call` names the RPC in errors: "berth: RunPodSandbox: ...".
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(Stub& stub, const char* call,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) const;

  std::string name_;
  std::string socket_;
  pid_t daemon_;
  std::unique_ptr<RuntimeStub> runtime_;
  std::unique_ptr<ImageStub> images_;
};

}  // namespace berth::bench
