// The CRI over a daemon's socket, as a kubelet calls it: absl::Status instead of grpc::Status (the
// codes are the same numbers), a deadline on every call. Thread-safe.
#pragma once

#include <grpc/support/time.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cri/runtime/v1/api.grpc.pb.h"

namespace berth::e2e {

namespace cri = ::runtime::v1;
using Runtime = cri::RuntimeService::Stub;
using Images = cri::ImageService::Stub;

absl::Status ToAbsl(const grpc::Status& status);

// A channel of its own to a daemon's socket.
std::shared_ptr<grpc::Channel> Connect(const std::string& socket);

class Client {
 public:
  static constexpr absl::Duration kTimeout = absl::Minutes(2);

  // No call waits for longer than `most`.
  explicit Client(const std::string& socket, absl::Duration most = kTimeout);

  template <class Request, class Response>
  using RuntimeMethod = grpc::Status (Runtime::*)(grpc::ClientContext*, const Request&, Response*);
  template <class Request, class Response>
  using ImageMethod = grpc::Status (Images::*)(grpc::ClientContext*, const Request&, Response*);

  template <class Request, class Response>
  absl::StatusOr<Response> Call(RuntimeMethod<Request, Response> method, const Request& request,
                                absl::Duration timeout = kTimeout) {
    return Do(*runtime_, method, request, timeout);
  }
  template <class Request, class Response>
  absl::StatusOr<Response> Call(ImageMethod<Request, Response> method, const Request& request,
                                absl::Duration timeout = kTimeout) {
    return Do(*images_, method, request, timeout);
  }

  // Without a handler: the one under test (handlers.h).
  absl::StatusOr<std::string> RunPod(const cri::PodSandboxConfig& config,
                                     const std::string& handler = "");
  absl::Status StopPod(const std::string& id);
  absl::Status RemovePod(const std::string& id);
  absl::StatusOr<cri::PodSandboxStatus> PodStatus(const std::string& id);
  absl::StatusOr<std::vector<cri::PodSandbox>> ListPods(const cri::PodSandboxFilter& filter = {});

  absl::StatusOr<std::string> Create(const std::string& pod, const cri::ContainerConfig& config,
                                     const cri::PodSandboxConfig& pod_config);
  absl::Status Start(const std::string& id);
  absl::Status Stop(const std::string& id, int64_t timeout_seconds,
                    absl::Duration deadline = kTimeout);
  absl::Status Remove(const std::string& id);
  absl::StatusOr<cri::ContainerStatus> ContainerStatus(const std::string& id);
  absl::StatusOr<std::vector<cri::Container>> ListContainers(
      const cri::ContainerFilter& filter = {});
  absl::StatusOr<cri::ExecSyncResponse> Exec(const std::string& id,
                                             const std::vector<std::string>& command,
                                             int64_t timeout_seconds = 30,
                                             absl::Duration deadline = kTimeout);
  absl::Status ReopenLog(const std::string& id);

  absl::StatusOr<std::string> Pull(const std::string& reference,
                                   absl::Duration deadline = kTimeout);
  absl::StatusOr<std::vector<cri::Image>> ListImages();
  // The image unset (has_image() false) if there is none.
  absl::StatusOr<cri::ImageStatusResponse> ImageStatus(const std::string& reference,
                                                       bool verbose = false);
  absl::Status RemoveImage(const std::string& reference);

  // Polls ContainerStatus until the container has exited; DeadlineExceeded after `patience`.
  absl::StatusOr<cri::ContainerStatus> WaitExit(const std::string& id,
                                                absl::Duration patience = absl::Seconds(60));

 private:
  template <class Stub, class Request, class Response>
  absl::StatusOr<Response> Do(Stub& stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                           Response*),
                              const Request& request, absl::Duration timeout) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    // Not by wall time, which tests set.
    context.set_deadline(gpr_time_add(
        gpr_now(GPR_CLOCK_MONOTONIC),
        gpr_time_from_millis(absl::ToInt64Milliseconds(std::min(timeout, most_)), GPR_TIMESPAN)));
    Response response;
    if (absl::Status status = ToAbsl((stub.*method)(&context, request, &response)); !status.ok())
      return status;
    return response;
  }

  absl::Duration most_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<Images> images_;
};

}  // namespace berth::e2e
