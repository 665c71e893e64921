// Requests for tests: sparse ones, and what a test changes in them.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "src/server/convert/requests.h"

namespace berth {

inline runtime::v1::RunPodSandboxRequest MakePodRequest() {
  runtime::v1::RunPodSandboxRequest request;
  request.mutable_config()->mutable_metadata()->set_name("web");
  return request;
}

inline runtime::v1::CreateContainerRequest MakeContainerRequest() {
  runtime::v1::CreateContainerRequest request;
  request.mutable_config()->mutable_metadata()->set_name("app");
  request.mutable_config()->mutable_image()->set_image("busybox");
  return request;
}

// A node that can do everything but what its kernel would have to have.
inline RequestPolicy MakePolicy() {
  return {.handlers = {{.name = "", .recursive_read_only_mounts = true, .user_namespaces = true},
                       {.name = "plain"}}};
}

// A policy, with one thing changed.
template <typename Edit>
RequestPolicy MakePolicy(Edit edit) {
  RequestPolicy policy = MakePolicy();
  edit(policy);
  return policy;
}

// `edit` changes the PodSandboxConfig.
template <typename Edit>
absl::StatusOr<ParsedPod> ParsePodWith(Edit edit, const RequestPolicy& policy = MakePolicy()) {
  runtime::v1::RunPodSandboxRequest request = MakePodRequest();
  edit(*request.mutable_config());
  return ParsePodRequest(request, policy);
}

// `edit` changes the ContainerConfig.
template <typename Edit>
absl::StatusOr<ParsedContainer> ParseContainerWith(Edit edit, const PodConfig& pod = {},
                                                   const RequestPolicy& policy = MakePolicy()) {
  runtime::v1::CreateContainerRequest request = MakeContainerRequest();
  edit(*request.mutable_config());
  return ParseContainerRequest(request, pod, policy);
}

inline runtime::v1::LinuxSandboxSecurityContext& SecurityOf(runtime::v1::PodSandboxConfig& config) {
  return *config.mutable_linux()->mutable_security_context();
}
inline runtime::v1::LinuxContainerSecurityContext& SecurityOf(
    runtime::v1::ContainerConfig& config) {
  return *config.mutable_linux()->mutable_security_context();
}
inline runtime::v1::Mount& AddMount(runtime::v1::ContainerConfig& config) {
  runtime::v1::Mount& mount = *config.add_mounts();
  mount.set_host_path("/h");
  mount.set_container_path("/v");
  return mount;
}

// A pod whose user namespace maps 0..length-1 to 65536...
inline PodConfig MakeUserNamespacePod(uint32_t length = 65536) {
  PodConfig pod;
  pod.namespaces.user = {.uids = {{0, 65536, length}}, .gids = {{0, 65536, length}}};
  return pod;
}
inline void SetUserNamespace(runtime::v1::NamespaceOption& options, uint32_t length = 65536) {
  runtime::v1::UserNamespace& user = *options.mutable_userns_options();
  user.set_mode(runtime::v1::POD);
  for (runtime::v1::IDMapping* mapping : {user.add_uids(), user.add_gids()}) {
    mapping->set_host_id(65536);
    mapping->set_length(length);
  }
}

inline void ExpectRefused(const absl::Status& status, const std::string& what) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << what << ": " << status;
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr(what));
}

}  // namespace berth
