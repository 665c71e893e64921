// CRI requests as plain values: the door to convert/*_request.h. Pure. What is not served is
// refused by the field's name, with InvalidArgument; api/cri/coverage.tsv lists each field.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "cri/runtime/v1/api.pb.h"
#include "src/image/image_store.h"
#include "src/sandbox/records.h"
#include "src/sandbox/request_parsers.h"
#include "src/server/convert/request_policy.h"

namespace berth {

using PodRequestPtr = std::shared_ptr<const runtime::v1::RunPodSandboxRequest>;
using ContainerRequestPtr = std::shared_ptr<const runtime::v1::CreateContainerRequest>;

absl::StatusOr<ParsedPod> ParsePodRequest(const runtime::v1::RunPodSandboxRequest& request,
                                          const RequestPolicy& policy);
// `pod` is the container's, as it was made.
absl::StatusOr<ParsedContainer> ParseContainerRequest(
    const runtime::v1::CreateContainerRequest& request, const PodConfig& pod,
    const RequestPolicy& policy);
absl::StatusOr<RegistryAuth> ParseAuth(const runtime::v1::AuthConfig& auth);

// For stored requests: whatever was accepted once is read, even if it would be refused today.
// DataLoss for bytes that are no request.
RequestParsers StoredRequestParsers();

// The request that a record was made from.
const runtime::v1::RunPodSandboxRequest& RequestOf(const PodRecord& pod);
const runtime::v1::CreateContainerRequest& RequestOf(const ContainerRecord& container);

}  // namespace berth
