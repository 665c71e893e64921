#include "src/cli/client.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "berth/v1/berth.grpc.pb.h"
#include "cri/runtime/v1/api.grpc.pb.h"
#include "src/base/status_macros.h"
#include "src/base/unique_fd.h"
#include "src/cli/failure.h"
#include "src/cli/terminal_text.h"

namespace berth::cli {

struct Client::Stubs {
  explicit Stubs(const std::shared_ptr<grpc::Channel>& channel)
      : runtime(channel), images(channel), berth(channel) {}
  cri::RuntimeService::Stub runtime;
  cri::ImageService::Stub images;
  v1::BerthService::Stub berth;
  UniqueFd socket_dir;  // keeps the address of a long socket path valid
};

namespace {

constexpr absl::Duration kQueryTimeout = absl::Seconds(30);
constexpr absl::Duration kChangeTimeout = absl::Minutes(4);

struct Kind {
  absl::StatusCode code;
  absl::string_view words;
};
constexpr std::array kKinds = {
    Kind{absl::StatusCode::kNotFound, "not found"},
    Kind{absl::StatusCode::kInvalidArgument, "invalid request"},
    Kind{absl::StatusCode::kPermissionDenied, "permission denied"},
    Kind{absl::StatusCode::kUnauthenticated, "not authorized"},
    Kind{absl::StatusCode::kDeadlineExceeded, "timed out"},
    Kind{absl::StatusCode::kUnavailable, "unavailable"},
    Kind{absl::StatusCode::kUnimplemented, "not supported by this berthd"},
    Kind{absl::StatusCode::kAlreadyExists, "already exists"},
    Kind{absl::StatusCode::kCancelled, "cancelled"},
    Kind{absl::StatusCode::kResourceExhausted, "out of resources"},
};

std::string Message(absl::StatusCode code, absl::string_view said) {
  for (const Kind& kind : kKinds) {
    if (kind.code != code) continue;
    if (said.empty()) return std::string(kind.words);
    if (absl::StartsWithIgnoreCase(said, kind.words)) return OneLine(said);
    return absl::StrCat(kind.words, ": ", OneLine(said));
  }
  return said.empty() ? "berthd gave no reason" : OneLine(said);
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  const absl::Status failure(code, Message(code, status.error_message()));
  const bool of_registry = absl::StrContains(status.error_message(), "RegistryUnavailable");
  if (code != absl::StatusCode::kUnavailable || of_registry) return failure;
  return WithHint(failure, "if berthd stopped answering, see: systemctl status berthd");
}

void SetDeadline(grpc::ClientContext* context, absl::Duration timeout) {
  if (timeout < absl::InfiniteDuration()) {
    context->set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  }
}

template <typename Stub, typename Request, typename Reply>
absl::StatusOr<Reply> Call(Stub& stub,
                           grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                        Reply*),
                           const Request& request, absl::Duration timeout = kQueryTimeout) {
  grpc::ClientContext context;
  SetDeadline(&context, timeout);
  Reply reply;
  RETURN_IF_ERROR(FromGrpc((stub.*method)(&context, request, &reply)));
  return reply;
}

absl::Status ConnectFailure(const std::string& path, int error) {
  const absl::Status failure = ErrnoStatus("connect", path, error);
  switch (error) {
    case EACCES:
    case EPERM:
      return WithHint(failure,
                      "run berth as root (sudo berth ...) or join the group that owns the socket");
    case ENOENT:
    case ECONNREFUSED:
      return WithHint(
          failure,
          "berthd does not listen there: start it (systemctl start berthd) or name its socket "
          "with --socket or BERTH_SOCKET");
    default:
      return failure;
  }
}

// A path that fits into sun_path: `path`, or one through its open directory.
absl::StatusOr<std::string> Addressable(const std::string& path, UniqueFd* dir) {
  if (path.size() < sizeof(sockaddr_un::sun_path)) return path;
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ConnectFailure(path, ENAMETOOLONG);
  dir->reset(open(path.substr(0, slash + 1).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!dir->valid()) return ConnectFailure(path, errno);
  const std::string shorter = absl::StrCat("/proc/self/fd/", dir->get(), path.substr(slash));
  if (shorter.size() >= sizeof(sockaddr_un::sun_path)) return ConnectFailure(path, ENAMETOOLONG);
  return shorter;
}

// gRPC itself would try for seconds and then say little.
absl::Status Probe(const std::string& path, const std::string& address) {
  const UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!probe.valid()) return ErrnoStatus("socket", "AF_UNIX");
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, address.data(), address.size());
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) != 0) {
    return ConnectFailure(path, errno);
  }
  return absl::OkStatus();
}

// Cancels a call when `cancel_fd` becomes readable; its end waits for the watching thread.
class CancelWatch {
 public:
  CancelWatch(grpc::ClientContext* context, int cancel_fd)
      : done_(eventfd(0, EFD_CLOEXEC)), thread_([this, context, cancel_fd] {
          pollfd fds[] = {{.fd = cancel_fd, .events = POLLIN},
                          {.fd = done_.get(), .events = POLLIN}};
          while (poll(fds, 2, -1) < 0 && errno == EINTR) {
          }
          if ((fds[0].revents & POLLIN) != 0) context->TryCancel();
        }) {}
  ~CancelWatch() {
    eventfd_write(done_.get(), 1);
    thread_.join();
  }

 private:
  UniqueFd done_;
  std::thread thread_;
};

}  // namespace

Client::Client(std::unique_ptr<Stubs> stubs) : stubs_(std::move(stubs)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

absl::StatusOr<Client> Client::Connect(const std::string& path) {
  UniqueFd dir;
  ASSIGN_OR_RETURN(const std::string address, Addressable(path, &dir));
  RETURN_IF_ERROR(Probe(path, address));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS,
                   1000);  // a restarted daemon is found again soon
  auto stubs = std::make_unique<Stubs>(grpc::CreateCustomChannel(
      absl::StrCat("unix:", address), grpc::InsecureChannelCredentials(), arguments));
  stubs->socket_dir = std::move(dir);
  return Client(std::move(stubs));
}

absl::StatusOr<cri::VersionResponse> Client::Version() {
  return Call(stubs_->runtime, &cri::RuntimeService::Stub::Version, cri::VersionRequest());
}

absl::StatusOr<cri::StatusResponse> Client::Status(const cri::StatusRequest& request) {
  return Call(stubs_->runtime, &cri::RuntimeService::Stub::Status, request);
}

absl::StatusOr<cri::ListPodSandboxResponse> Client::ListPodSandbox(
    const cri::ListPodSandboxRequest& request) {
  return Call(stubs_->runtime, &cri::RuntimeService::Stub::ListPodSandbox, request);
}

absl::StatusOr<cri::PodSandboxStatusResponse> Client::PodSandboxStatus(
    const cri::PodSandboxStatusRequest& request) {
  return Call(stubs_->runtime, &cri::RuntimeService::Stub::PodSandboxStatus, request);
}

absl::StatusOr<std::string> Client::RunPodSandbox(const cri::RunPodSandboxRequest& request) {
  ASSIGN_OR_RETURN(
      const cri::RunPodSandboxResponse reply,
      Call(stubs_->runtime, &cri::RuntimeService::Stub::RunPodSandbox, request, kChangeTimeout));
  return reply.pod_sandbox_id();
}

absl::Status Client::StopPodSandbox(const std::string& pod_id) {
  cri::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(pod_id);
  return Call(stubs_->runtime, &cri::RuntimeService::Stub::StopPodSandbox, request, kChangeTimeout)
      .status();
}

absl::Status Client::RemovePodSandbox(const std::string& pod_id) {
  cri::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(pod_id);
  return Call(stubs_->runtime, &cri::RuntimeService::Stub::RemovePodSandbox, request,
              kChangeTimeout)
      .status();
}

absl::StatusOr<cri::ListContainersResponse> Client::ListContainers(
    const cri::ListContainersRequest& request) {
  return Call(stubs_->runtime, &cri::RuntimeService::Stub::ListContainers, request);
}

absl::StatusOr<cri::ContainerStatusResponse> Client::ContainerStatus(
    const cri::ContainerStatusRequest& request) {
  return Call(stubs_->runtime, &cri::RuntimeService::Stub::ContainerStatus, request);
}

absl::StatusOr<std::string> Client::CreateContainer(const cri::CreateContainerRequest& request) {
  ASSIGN_OR_RETURN(
      const cri::CreateContainerResponse reply,
      Call(stubs_->runtime, &cri::RuntimeService::Stub::CreateContainer, request, kChangeTimeout));
  return reply.container_id();
}

absl::Status Client::StartContainer(const std::string& container_id) {
  cri::StartContainerRequest request;
  request.set_container_id(container_id);
  return Call(stubs_->runtime, &cri::RuntimeService::Stub::StartContainer, request, kChangeTimeout)
      .status();
}

absl::Status Client::StopContainer(const std::string& container_id, absl::Duration grace) {
  cri::StopContainerRequest request;
  request.set_container_id(container_id);
  request.set_timeout(absl::ToInt64Seconds(grace));
  return Call(stubs_->runtime, &cri::RuntimeService::Stub::StopContainer, request,
              grace + kChangeTimeout)
      .status();
}

absl::Status Client::RemoveContainer(const std::string& container_id) {
  cri::RemoveContainerRequest request;
  request.set_container_id(container_id);
  return Call(stubs_->runtime, &cri::RuntimeService::Stub::RemoveContainer, request, kChangeTimeout)
      .status();
}

absl::StatusOr<cri::ExecSyncResponse> Client::ExecSync(const cri::ExecSyncRequest& request) {
  const absl::Duration timeout = request.timeout() == 0
                                     ? absl::InfiniteDuration()
                                     : absl::Seconds(request.timeout()) + kQueryTimeout;
  return Call(stubs_->runtime, &cri::RuntimeService::Stub::ExecSync, request, timeout);
}

absl::StatusOr<std::string> Client::Exec(const cri::ExecRequest& request) {
  ASSIGN_OR_RETURN(const cri::ExecResponse reply,
                   Call(stubs_->runtime, &cri::RuntimeService::Stub::Exec, request));
  return reply.url();
}

absl::StatusOr<std::string> Client::Attach(const cri::AttachRequest& request) {
  ASSIGN_OR_RETURN(const cri::AttachResponse reply,
                   Call(stubs_->runtime, &cri::RuntimeService::Stub::Attach, request));
  return reply.url();
}

absl::StatusOr<std::string> Client::PortForward(const cri::PortForwardRequest& request) {
  ASSIGN_OR_RETURN(const cri::PortForwardResponse reply,
                   Call(stubs_->runtime, &cri::RuntimeService::Stub::PortForward, request));
  return reply.url();
}

absl::StatusOr<cri::ListContainerStatsResponse> Client::ListContainerStats(
    const cri::ListContainerStatsRequest& request) {
  return Call(stubs_->runtime, &cri::RuntimeService::Stub::ListContainerStats, request);
}

absl::Status Client::CopyOut(const v1::CopyOutRequest& request,
                             const std::function<absl::Status(const v1::CopyOutResponse&)>& take,
                             int cancel_fd) {
  grpc::ClientContext context;
  const CancelWatch watch(&context, cancel_fd);
  const auto reader = stubs_->berth.CopyOut(&context, request);
  v1::CopyOutResponse message;
  absl::Status taken;
  while (taken.ok() && reader->Read(&message)) taken = take(message);
  if (!taken.ok()) context.TryCancel();
  const absl::Status served = FromGrpc(reader->Finish());
  return taken.ok() ? served : taken;
}

absl::StatusOr<v1::CopyInResponse> Client::CopyIn(const v1::CopyInBegin& begin,
                                                  const ArchiveSource& archive, int cancel_fd) {
  grpc::ClientContext context;
  const CancelWatch watch(&context, cancel_fd);
  v1::CopyInResponse response;
  const auto writer = stubs_->berth.CopyIn(&context, &response);
  v1::CopyInRequest message;
  *message.mutable_begin() = begin;
  bool served = writer->Write(message);
  const absl::Status sent = archive([&](absl::string_view bytes) {
    message.set_data(bytes.data(), bytes.size());
    served = served && writer->Write(message);
    return served ? absl::OkStatus() : absl::CancelledError("berthd takes no more of the archive");
  });
  if (!sent.ok() && served) context.TryCancel();
  if (served) writer->WritesDone();
  const absl::Status finished = FromGrpc(writer->Finish());
  if (!sent.ok() && served) return sent;
  RETURN_IF_ERROR(finished);
  return response;
}

absl::StatusOr<cri::ListPodSandboxStatsResponse> Client::ListPodSandboxStats() {
  return Call(stubs_->runtime, &cri::RuntimeService::Stub::ListPodSandboxStats,
              cri::ListPodSandboxStatsRequest());
}

absl::StatusOr<cri::ListPodSandboxMetricsResponse> Client::ListPodSandboxMetrics() {
  return Call(stubs_->runtime, &cri::RuntimeService::Stub::ListPodSandboxMetrics,
              cri::ListPodSandboxMetricsRequest());
}

absl::StatusOr<cri::RuntimeConfigResponse> Client::RuntimeConfig() {
  return Call(stubs_->runtime, &cri::RuntimeService::Stub::RuntimeConfig,
              cri::RuntimeConfigRequest());
}

absl::StatusOr<cri::ImageFsInfoResponse> Client::ImageFsInfo() {
  return Call(stubs_->images, &cri::ImageService::Stub::ImageFsInfo, cri::ImageFsInfoRequest());
}

absl::StatusOr<v1::ListOperationsResponse> Client::ListOperations(const std::string& object) {
  v1::ListOperationsRequest request;
  request.set_object(object);
  return Call(stubs_->berth, &v1::BerthService::Stub::ListOperations, request);
}

absl::Status Client::WatchEvents(
    bool follow, const std::function<void(const v1::WatchEventsResponse&)>& on_events,
    int cancel_fd) {
  grpc::ClientContext context;
  const CancelWatch watch(&context, cancel_fd);
  v1::WatchEventsRequest request;
  request.set_follow(follow);
  const auto reader = stubs_->berth.WatchEvents(&context, request);
  for (v1::WatchEventsResponse events; reader->Read(&events);) on_events(events);
  const absl::Status status = FromGrpc(reader->Finish());
  return absl::IsCancelled(status) ? absl::OkStatus() : status;
}

absl::StatusOr<v1::ContainerPlanResponse> Client::ContainerPlan(const std::string& container_id) {
  v1::ContainerPlanRequest request;
  request.set_container_id(container_id);
  return Call(stubs_->berth, &v1::BerthService::Stub::ContainerPlan, request);
}

absl::StatusOr<cri::ListImagesResponse> Client::ListImages() {
  return Call(stubs_->images, &cri::ImageService::Stub::ListImages, cri::ListImagesRequest());
}

absl::StatusOr<cri::ImageStatusResponse> Client::ImageStatus(const std::string& image) {
  cri::ImageStatusRequest request;
  request.mutable_image()->set_image(image);
  return Call(stubs_->images, &cri::ImageService::Stub::ImageStatus, request);
}

absl::Status Client::RemoveImage(const std::string& image) {
  cri::RemoveImageRequest request;
  request.mutable_image()->set_image(image);
  return Call(stubs_->images, &cri::ImageService::Stub::RemoveImage, request, kChangeTimeout)
      .status();
}

absl::StatusOr<v1::InspectImageResponse> Client::InspectImage(const std::string& image) {
  v1::InspectImageRequest request;
  request.set_reference(image);
  return Call(stubs_->berth, &v1::BerthService::Stub::InspectImage, request);
}

absl::Status Client::TagImage(const std::string& image, const std::string& name) {
  v1::TagImageRequest request;
  request.set_reference(image);
  request.set_name(name);
  return Call(stubs_->berth, &v1::BerthService::Stub::TagImage, request).status();
}

absl::Status Client::UntagImage(const std::string& name) {
  v1::UntagImageRequest request;
  request.set_name(name);
  return Call(stubs_->berth, &v1::BerthService::Stub::UntagImage, request).status();
}

absl::StatusOr<v1::ListPullsResponse> Client::ListPulls() {
  return Call(stubs_->berth, &v1::BerthService::Stub::ListPulls, v1::ListPullsRequest());
}

absl::StatusOr<v1::CollectGarbageResponse> Client::CollectGarbage(bool dry_run) {
  v1::CollectGarbageRequest request;
  request.set_dry_run(dry_run);
  return Call(stubs_->berth, &v1::BerthService::Stub::CollectGarbage, request, kChangeTimeout);
}

absl::Status Client::VerifyImages(
    const v1::VerifyImagesRequest& request,
    const std::function<void(const v1::VerifyImagesResponse&)>& on_layer, int cancel_fd) {
  grpc::ClientContext context;
  const CancelWatch watch(&context, cancel_fd);
  const auto reader = stubs_->berth.VerifyImages(&context, request);
  v1::VerifyImagesResponse layer;
  while (reader->Read(&layer)) on_layer(layer);
  return FromGrpc(reader->Finish());
}

absl::StatusOr<std::string> Client::PullImage(
    const v1::PullImageRequest& request,
    const std::function<void(const v1::PullImageProgress&)>& on_progress, int cancel_fd) {
  grpc::ClientContext context;
  const CancelWatch watch(&context, cancel_fd);
  const auto reader = stubs_->berth.PullImage(&context, request);
  std::string image_id;
  v1::PullImageProgress progress;
  while (reader->Read(&progress)) {
    on_progress(progress);
    if (!progress.image_id().empty()) image_id = progress.image_id();
  }
  RETURN_IF_ERROR(FromGrpc(reader->Finish()));
  if (image_id.empty()) return absl::InternalError("berthd ended the pull without an image");
  return image_id;
}

}  // namespace berth::cli
