// CRI requests as plain values. Pure. What this version does not serve is refused here, by the
// field's name, with InvalidArgument or Unimplemented; api/cri/coverage.tsv lists each field.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cri/runtime/v1/api.pb.h"
#include "src/image/image_store.h"
#include "src/sandbox/node.h"

namespace berth {

using PodRequestPtr = std::shared_ptr<const runtime::v1::RunPodSandboxRequest>;
using ContainerRequestPtr = std::shared_ptr<const runtime::v1::CreateContainerRequest>;

absl::StatusOr<ParsedPod> ParsePodRequest(const runtime::v1::RunPodSandboxRequest& request);
absl::StatusOr<ParsedContainer> ParseContainerRequest(
    const runtime::v1::CreateContainerRequest& request);
RegistryAuth ParseAuth(const runtime::v1::AuthConfig& auth);

// For stored requests.
RequestParsers StoredRequestParsers();

// The request that a record was made from.
const runtime::v1::RunPodSandboxRequest& RequestOf(const PodRecord& pod);
const runtime::v1::CreateContainerRequest& RequestOf(const ContainerRecord& container);

}  // namespace berth
