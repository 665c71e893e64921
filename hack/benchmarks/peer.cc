#include "hack/benchmarks/peer.h"

#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/base/unique_fd.h"

namespace berth::bench {
namespace {

namespace v1 = runtime::v1;

constexpr std::chrono::minutes kDeadline(5);
constexpr absl::string_view kScheme = "unix://";

absl::StatusOr<pid_t> ListenerOf(const std::string& socket_path) {
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  if (socket_path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("connect ", socket_path, ": the path is too long"));
  }
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoStatus("connect", socket_path);
  }
  ucred credentials = {};
  socklen_t size = sizeof(credentials);
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return ErrnoStatus("getsockopt SO_PEERCRED", socket_path);
  }
  return credentials.pid;
}

}  // namespace

Peer::Peer(std::string name, std::string socket, pid_t daemon)
    : name_(std::move(name)), socket_(std::move(socket)), daemon_(daemon) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  const auto channel = grpc::CreateCustomChannel(absl::StrCat("unix:", socket_),
                                                 grpc::InsecureChannelCredentials(), arguments);
  runtime_ = v1::RuntimeService::NewStub(channel);
  images_ = v1::ImageService::NewStub(channel);
}

absl::StatusOr<Peer> Peer::Connect(const std::string& spec) {
  const size_t equals = spec.find('=');
  if (equals == std::string::npos || equals == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("parse peer ", spec, ": want NAME=unix:///PATH"));
  }
  std::string path = spec.substr(equals + 1);
  if (absl::StartsWith(path, kScheme)) path.erase(0, kScheme.size());
  ASSIGN_OR_RETURN(const pid_t daemon, ListenerOf(path));
  return Peer(spec.substr(0, equals), path, daemon);
}

template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> Peer::Call(Stub& stub, const char* call,
                                    grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                                 const Request&, Response*),
                                    const Request& request) const {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  Response response;
  const grpc::Status status = (stub.*method)(&context, request, &response);
  if (status.ok()) return response;
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      absl::StrCat(name_, ": ", call, ": ", status.error_message()));
}

absl::StatusOr<PeerVersion> Peer::Version() const {
  ASSIGN_OR_RETURN(const v1::VersionResponse response,
                   Call(*runtime_, "Version", &RuntimeStub::Version, v1::VersionRequest()));
  return PeerVersion{.runtime_name = response.runtime_name(),
                     .runtime_version = response.runtime_version()};
}

absl::StatusOr<std::string> Peer::RunPod(const v1::PodSandboxConfig& config) const {
  v1::RunPodSandboxRequest request;
  *request.mutable_config() = config;
  ASSIGN_OR_RETURN(const v1::RunPodSandboxResponse response,
                   Call(*runtime_, "RunPodSandbox", &RuntimeStub::RunPodSandbox, request));
  return response.pod_sandbox_id();
}

absl::Status Peer::StopPod(const std::string& id) const {
  v1::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  return Call(*runtime_, "StopPodSandbox", &RuntimeStub::StopPodSandbox, request).status();
}

absl::Status Peer::RemovePod(const std::string& id) const {
  v1::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  return Call(*runtime_, "RemovePodSandbox", &RuntimeStub::RemovePodSandbox, request).status();
}

absl::StatusOr<std::string> Peer::CreateContainer(const std::string& pod_id,
                                                  const v1::ContainerConfig& config,
                                                  const v1::PodSandboxConfig& pod_config) const {
  v1::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod_id);
  *request.mutable_config() = config;
  *request.mutable_sandbox_config() = pod_config;
  ASSIGN_OR_RETURN(const v1::CreateContainerResponse response,
                   Call(*runtime_, "CreateContainer", &RuntimeStub::CreateContainer, request));
  return response.container_id();
}

absl::Status Peer::StartContainer(const std::string& id) const {
  v1::StartContainerRequest request;
  request.set_container_id(id);
  return Call(*runtime_, "StartContainer", &RuntimeStub::StartContainer, request).status();
}

absl::Status Peer::StopContainer(const std::string& id, int timeout_seconds) const {
  v1::StopContainerRequest request;
  request.set_container_id(id);
  request.set_timeout(timeout_seconds);
  return Call(*runtime_, "StopContainer", &RuntimeStub::StopContainer, request).status();
}

absl::Status Peer::RemoveContainer(const std::string& id) const {
  v1::RemoveContainerRequest request;
  request.set_container_id(id);
  return Call(*runtime_, "RemoveContainer", &RuntimeStub::RemoveContainer, request).status();
}

absl::Status Peer::ExecSync(const std::string& container_id,
                            const std::vector<std::string>& command) const {
  v1::ExecSyncRequest request;
  request.set_container_id(container_id);
  request.mutable_cmd()->Assign(command.begin(), command.end());
  ASSIGN_OR_RETURN(const v1::ExecSyncResponse response,
                   Call(*runtime_, "ExecSync", &RuntimeStub::ExecSync, request));
  if (response.exit_code() == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(name_, ": ExecSync: exit code ", response.exit_code(), ": ", response.stderr()));
}

absl::StatusOr<int> Peer::CountContainers() const {
  ASSIGN_OR_RETURN(
      const v1::ListContainersResponse response,
      Call(*runtime_, "ListContainers", &RuntimeStub::ListContainers, v1::ListContainersRequest()));
  return response.containers_size();
}

absl::StatusOr<int> Peer::CountPods() const {
  ASSIGN_OR_RETURN(
      const v1::ListPodSandboxResponse response,
      Call(*runtime_, "ListPodSandbox", &RuntimeStub::ListPodSandbox, v1::ListPodSandboxRequest()));
  return response.items_size();
}

absl::StatusOr<int> Peer::CountContainerStats() const {
  ASSIGN_OR_RETURN(const v1::ListContainerStatsResponse response,
                   Call(*runtime_, "ListContainerStats", &RuntimeStub::ListContainerStats,
                        v1::ListContainerStatsRequest()));
  return response.stats_size();
}

absl::StatusOr<int> Peer::CountPodStats() const {
  ASSIGN_OR_RETURN(const v1::ListPodSandboxStatsResponse response,
                   Call(*runtime_, "ListPodSandboxStats", &RuntimeStub::ListPodSandboxStats,
                        v1::ListPodSandboxStatsRequest()));
  return response.stats_size();
}

absl::StatusOr<std::vector<std::string>> Peer::PodsWithLabel(const std::string& key) const {
  ASSIGN_OR_RETURN(
      const v1::ListPodSandboxResponse response,
      Call(*runtime_, "ListPodSandbox", &RuntimeStub::ListPodSandbox, v1::ListPodSandboxRequest()));
  std::vector<std::string> ids;
  for (const v1::PodSandbox& pod : response.items()) {
    if (pod.labels().contains(key)) ids.push_back(pod.id());
  }
  return ids;
}

absl::Status Peer::PullImage(const std::string& image) const {
  v1::PullImageRequest request;
  request.mutable_image()->set_image(image);
  return Call(*images_, "PullImage", &ImageStub::PullImage, request).status();
}

absl::Status Peer::RemoveImage(const std::string& image) const {
  v1::RemoveImageRequest request;
  request.mutable_image()->set_image(image);
  return Call(*images_, "RemoveImage", &ImageStub::RemoveImage, request).status();
}

}  // namespace berth::bench
