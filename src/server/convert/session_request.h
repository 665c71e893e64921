// Exec, Attach and PortForward messages as what a session is to be. Pure; refusals are
// InvalidArgument and name the field.
#pragma once

#include "absl/status/statusor.h"
#include "cri/runtime/v1/api.pb.h"
#include "src/sandbox/streaming/session_tokens.h"

namespace berth {

absl::StatusOr<SessionRequest> ParseExecRequest(const runtime::v1::ExecRequest& request);
absl::StatusOr<SessionRequest> ParseAttachRequest(const runtime::v1::AttachRequest& request);
// Clients that speak SPDY name the port of each connection; others rely on those of the request.
absl::StatusOr<SessionRequest> ParsePortForwardRequest(
    const runtime::v1::PortForwardRequest& request);

}  // namespace berth
