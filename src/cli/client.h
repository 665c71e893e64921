// The connection to berthd: one method per call, plain values in, absl::StatusOr out. The one place
// of the command line that knows gRPC. Messages of failed calls read "<kind>: <what the daemon
// said>".
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "berth/v1/berth.pb.h"
#include "cri/runtime/v1/api.pb.h"

namespace berth::cli {

namespace cri = ::runtime::v1;

// Not thread-safe to move; calls may come from several threads.
class Client {
 public:
  // Fails at once, with a hint, where nobody listens on the unix socket `path` or access is denied.
  static absl::StatusOr<Client> Connect(const std::string& path);
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  absl::StatusOr<cri::VersionResponse> Version();
  absl::StatusOr<cri::StatusResponse> Status(const cri::StatusRequest& request);

  absl::StatusOr<cri::ListPodSandboxResponse> ListPodSandbox(
      const cri::ListPodSandboxRequest& request);
  absl::StatusOr<cri::PodSandboxStatusResponse> PodSandboxStatus(
      const cri::PodSandboxStatusRequest& request);
  absl::StatusOr<std::string> RunPodSandbox(const cri::RunPodSandboxRequest& request);
  absl::Status StopPodSandbox(const std::string& pod_id);
  absl::Status RemovePodSandbox(const std::string& pod_id);

  absl::StatusOr<cri::ListContainersResponse> ListContainers(
      const cri::ListContainersRequest& request);
  absl::StatusOr<cri::ContainerStatusResponse> ContainerStatus(
      const cri::ContainerStatusRequest& request);
  absl::StatusOr<std::string> CreateContainer(const cri::CreateContainerRequest& request);
  absl::Status StartContainer(const std::string& container_id);
  // Returns when the container has ended; it is killed after `grace`.
  absl::Status StopContainer(const std::string& container_id, absl::Duration grace);
  absl::Status RemoveContainer(const std::string& container_id);
  // Waits as long as the command runs; DeadlineExceeded after the request's own timeout.
  absl::StatusOr<cri::ExecSyncResponse> ExecSync(const cri::ExecSyncRequest& request);
  // The URL of a new session, good for one use within seconds.
  absl::StatusOr<std::string> Exec(const cri::ExecRequest& request);
  absl::StatusOr<std::string> Attach(const cri::AttachRequest& request);
  absl::StatusOr<std::string> PortForward(const cri::PortForwardRequest& request);
  absl::StatusOr<cri::ListContainerStatsResponse> ListContainerStats(
      const cri::ListContainerStatsRequest& request);
  // Calls `take` for each message: the file's description first, then its archive. An error of
  // `take` ends the copy.
  absl::Status CopyOut(const v1::CopyOutRequest& request,
                       const std::function<absl::Status(const v1::CopyOutResponse&)>& take,
                       int cancel_fd);
  // Calls `archive` once, which sends all bytes; what the daemon says of a failure comes first.
  using SendBytes = std::function<absl::Status(absl::string_view)>;
  using ArchiveSource = std::function<absl::Status(const SendBytes& send)>;
  absl::StatusOr<v1::CopyInResponse> CopyIn(const v1::CopyInBegin& begin,
                                            const ArchiveSource& archive, int cancel_fd);
  absl::StatusOr<cri::ListPodSandboxStatsResponse> ListPodSandboxStats();
  absl::StatusOr<cri::ListPodSandboxMetricsResponse> ListPodSandboxMetrics();
  absl::StatusOr<cri::RuntimeConfigResponse> RuntimeConfig();
  absl::StatusOr<cri::ImageFsInfoResponse> ImageFsInfo();
  // The last operations on `object` ("" for all), oldest first.
  absl::StatusOr<v1::ListOperationsResponse> ListOperations(const std::string& object);
  // Calls `on_events` for what happened and, with `follow`, for what happens until `cancel_fd`
  // becomes readable; that end is OK.
  absl::Status WatchEvents(bool follow,
                           const std::function<void(const v1::WatchEventsResponse&)>& on_events,
                           int cancel_fd);
  absl::StatusOr<v1::ContainerPlanResponse> ContainerPlan(const std::string& container_id);

  absl::StatusOr<cri::ListImagesResponse> ListImages();
  absl::StatusOr<cri::ImageStatusResponse> ImageStatus(const std::string& image);
  absl::Status RemoveImage(const std::string& image);
  absl::StatusOr<v1::InspectImageResponse> InspectImage(const std::string& image);
  absl::Status TagImage(const std::string& image, const std::string& name);
  absl::Status UntagImage(const std::string& name);
  absl::StatusOr<v1::ListPullsResponse> ListPulls();
  absl::StatusOr<v1::CollectGarbageResponse> CollectGarbage(bool dry_run);
  // Calls `on_layer` for each layer as it is done.
  absl::Status VerifyImages(const v1::VerifyImagesRequest& request,
                            const std::function<void(const v1::VerifyImagesResponse&)>& on_layer,
                            int cancel_fd);
  // Calls `on_progress` for every message and returns the image id. Cancelled once `cancel_fd`
  // becomes readable (nothing is read from it).
  absl::StatusOr<std::string> PullImage(
      const v1::PullImageRequest& request,
      const std::function<void(const v1::PullImageProgress&)>& on_progress, int cancel_fd);

 private:
  struct Stubs;
  explicit Client(std::unique_ptr<Stubs> stubs);

  std::unique_ptr<Stubs> stubs_;
};

}  // namespace berth::cli
