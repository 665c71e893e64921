#include "src/server/convert/requests.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "src/base/status_macros.h"
#include "src/image/auth_file.h"
#include "src/server/convert/container_request.h"
#include "src/server/convert/pod_request.h"

namespace berth {

namespace cri = runtime::v1;
namespace {

// Serialised so that equal requests give equal bytes (maps in key order).
std::string DeterministicBytes(const google::protobuf::Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

ParsedPod PodOf(const cri::RunPodSandboxRequest& request) {
  return {.config = ParsePod(request),
          .request = PodRequestPtr(std::make_shared<cri::RunPodSandboxRequest>(request)),
          .bytes = DeterministicBytes(request)};
}

ParsedContainer ContainerOf(const cri::CreateContainerRequest& request) {
  auto stored = std::make_shared<cri::CreateContainerRequest>(request);
  stored->clear_sandbox_config();  // the pod has its own
  std::string bytes = DeterministicBytes(*stored);
  return {.config = ParseContainer(request),
          .request = ContainerRequestPtr(std::move(stored)),
          .bytes = std::move(bytes)};
}

}  // namespace

absl::StatusOr<ParsedPod> ParsePodRequest(const cri::RunPodSandboxRequest& request,
                                          const RequestPolicy& policy) {
  RETURN_IF_ERROR(CheckPod(request, policy));
  return PodOf(request);
}

absl::StatusOr<ParsedContainer> ParseContainerRequest(const cri::CreateContainerRequest& request,
                                                      const PodConfig& pod,
                                                      const RequestPolicy& policy) {
  RETURN_IF_ERROR(CheckContainer(request, pod, policy));
  return ContainerOf(request);
}

absl::StatusOr<RegistryAuth> ParseAuth(const cri::AuthConfig& auth) {
  RegistryAuth parsed{.username = auth.username(), .password = auth.password()};
  if (parsed.username.empty() && !auth.auth().empty()) {
    absl::StatusOr<RegistryAuth> combined = DecodeBasicAuth(auth.auth());
    if (!combined.ok()) return Annotate(combined.status(), "auth.auth");
    parsed = *std::move(combined);
  }
  parsed.identity_token = auth.identity_token();
  parsed.registry_token = auth.registry_token();
  parsed.server_address = auth.server_address();
  return parsed;
}

RequestParsers StoredRequestParsers() {
  return {.pod = [](absl::string_view bytes) -> absl::StatusOr<ParsedPod> {
            cri::RunPodSandboxRequest request;
            if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
              return absl::DataLossError("stored pod request: not a RunPodSandboxRequest");
            }
            return PodOf(request);
          },
          .container = [](absl::string_view bytes) -> absl::StatusOr<ParsedContainer> {
            cri::CreateContainerRequest request;
            if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
              return absl::DataLossError("stored container request: not a CreateContainerRequest");
            }
            return ContainerOf(request);
          },
          .unreadable_pod =
              [](const PodName& name) {
                cri::RunPodSandboxRequest request;
                cri::PodSandboxMetadata& metadata = *request.mutable_config()->mutable_metadata();
                metadata.set_name(name.name);
                metadata.set_namespace_(name.pod_namespace);
                metadata.set_uid(name.uid);
                metadata.set_attempt(name.attempt);
                return PodOf(request);
              },
          .unreadable_container =
              [](const ContainerName& name) {
                cri::CreateContainerRequest request;
                cri::ContainerMetadata& metadata = *request.mutable_config()->mutable_metadata();
                metadata.set_name(name.name);
                metadata.set_attempt(name.attempt);
                return ContainerOf(request);
              }};
}

const cri::RunPodSandboxRequest& RequestOf(const PodRecord& pod) {
  return **std::any_cast<PodRequestPtr>(&pod.request);
}

const cri::CreateContainerRequest& RequestOf(const ContainerRecord& container) {
  return **std::any_cast<ContainerRequestPtr>(&container.request);
}

}  // namespace berth
