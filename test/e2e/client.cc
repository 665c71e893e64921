#include "test/e2e/client.h"

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "test/e2e/eventually.h"
#include "test/e2e/handlers.h"

namespace berth::e2e {
namespace {

constexpr int kKubeletMessageLimit = 16 << 20;

template <class List>
auto ToVector(const List& list) {
  return std::vector<typename List::value_type>(list.begin(), list.end());
}

}  // namespace

std::shared_ptr<grpc::Channel> Connect(const std::string& socket) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kKubeletMessageLimit);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  return grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments);
}

absl::Status ToAbsl(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

Client::Client(const std::string& socket, absl::Duration most)
    : most_(most),
      channel_(Connect(socket)),
      runtime_(cri::RuntimeService::NewStub(channel_)),
      images_(cri::ImageService::NewStub(channel_)) {}

absl::StatusOr<std::string> Client::RunPod(const cri::PodSandboxConfig& config,
                                           const std::string& handler) {
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = config;
  request.set_runtime_handler(handler.empty() ? HandlerUnderTest() : handler);
  ASSIGN_OR_RETURN(const auto response, Call(&Runtime::RunPodSandbox, request));
  return response.pod_sandbox_id();
}

absl::Status Client::StopPod(const std::string& id) {
  cri::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  return Call(&Runtime::StopPodSandbox, request).status();
}

absl::Status Client::RemovePod(const std::string& id) {
  cri::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  return Call(&Runtime::RemovePodSandbox, request).status();
}

absl::StatusOr<cri::PodSandboxStatus> Client::PodStatus(const std::string& id) {
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(id);
  ASSIGN_OR_RETURN(const auto response, Call(&Runtime::PodSandboxStatus, request));
  return response.status();
}

absl::StatusOr<std::vector<cri::PodSandbox>> Client::ListPods(const cri::PodSandboxFilter& filter) {
  cri::ListPodSandboxRequest request;
  *request.mutable_filter() = filter;
  ASSIGN_OR_RETURN(const auto response, Call(&Runtime::ListPodSandbox, request));
  return ToVector(response.items());
}

absl::StatusOr<std::string> Client::Create(const std::string& pod,
                                           const cri::ContainerConfig& config,
                                           const cri::PodSandboxConfig& pod_config) {
  cri::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod);
  *request.mutable_config() = config;
  *request.mutable_sandbox_config() = pod_config;
  ASSIGN_OR_RETURN(const auto response, Call(&Runtime::CreateContainer, request));
  return response.container_id();
}

absl::Status Client::Start(const std::string& id) {
  cri::StartContainerRequest request;
  request.set_container_id(id);
  return Call(&Runtime::StartContainer, request).status();
}

absl::Status Client::Stop(const std::string& id, int64_t timeout_seconds, absl::Duration deadline) {
  cri::StopContainerRequest request;
  request.set_container_id(id);
  request.set_timeout(timeout_seconds);
  return Call(&Runtime::StopContainer, request, deadline).status();
}

absl::Status Client::Remove(const std::string& id) {
  cri::RemoveContainerRequest request;
  request.set_container_id(id);
  return Call(&Runtime::RemoveContainer, request).status();
}

absl::StatusOr<cri::ContainerStatus> Client::ContainerStatus(const std::string& id) {
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  ASSIGN_OR_RETURN(const auto response, Call(&Runtime::ContainerStatus, request));
  return response.status();
}

absl::StatusOr<std::vector<cri::Container>> Client::ListContainers(
    const cri::ContainerFilter& filter) {
  cri::ListContainersRequest request;
  *request.mutable_filter() = filter;
  ASSIGN_OR_RETURN(const auto response, Call(&Runtime::ListContainers, request));
  return ToVector(response.containers());
}

absl::StatusOr<cri::ExecSyncResponse> Client::Exec(const std::string& id,
                                                   const std::vector<std::string>& command,
                                                   int64_t timeout_seconds,
                                                   absl::Duration deadline) {
  cri::ExecSyncRequest request;
  request.set_container_id(id);
  request.mutable_cmd()->Assign(command.begin(), command.end());
  request.set_timeout(timeout_seconds);
  return Call(&Runtime::ExecSync, request, deadline);
}

absl::Status Client::ReopenLog(const std::string& id) {
  cri::ReopenContainerLogRequest request;
  request.set_container_id(id);
  return Call(&Runtime::ReopenContainerLog, request).status();
}

absl::StatusOr<std::string> Client::Pull(const std::string& reference, absl::Duration deadline) {
  cri::PullImageRequest request;
  request.mutable_image()->set_image(reference);
  ASSIGN_OR_RETURN(const auto response, Call(&Images::PullImage, request, deadline));
  return response.image_ref();
}

absl::StatusOr<std::vector<cri::Image>> Client::ListImages() {
  ASSIGN_OR_RETURN(const auto response, Call(&Images::ListImages, cri::ListImagesRequest()));
  return ToVector(response.images());
}

absl::StatusOr<cri::ImageStatusResponse> Client::ImageStatus(const std::string& reference,
                                                             bool verbose) {
  cri::ImageStatusRequest request;
  request.mutable_image()->set_image(reference);
  request.set_verbose(verbose);
  return Call(&Images::ImageStatus, request);
}

absl::Status Client::RemoveImage(const std::string& reference) {
  cri::RemoveImageRequest request;
  request.mutable_image()->set_image(reference);
  return Call(&Images::RemoveImage, request).status();
}

absl::StatusOr<cri::ContainerStatus> Client::WaitExit(const std::string& id,
                                                      absl::Duration patience) {
  absl::StatusOr<cri::ContainerStatus> status = absl::UnknownError("never asked");
  const bool exited = Eventually(patience, [&] {
    status = ContainerStatus(id);
    return !status.ok() || status->state() == cri::CONTAINER_EXITED;
  });
  if (!exited) return absl::DeadlineExceededError(absl::StrCat("container ", id, " does not exit"));
  return status;
}

}  // namespace berth::e2e
