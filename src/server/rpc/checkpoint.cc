// Checkpoints are refused: what a restore would take from an archive (mounts, image names, links,
// annotations) is whatever the archive's author wrote.
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

namespace {

absl::Status NotOffered() {
  return absl::UnimplementedError("checkpoints are neither made nor restored by this runtime");
}

}  // namespace

grpc::Status RuntimeService::CheckpointContainer(grpc::ServerContext* context,
                                                 const cri::CheckpointContainerRequest*,
                                                 cri::CheckpointContainerResponse*) {
  return calls_.Serve("CheckpointContainer", context, NotOffered);
}

grpc::Status RuntimeService::CheckpointPod(grpc::ServerContext* context,
                                           const cri::CheckpointPodRequest*,
                                           cri::CheckpointPodResponse*) {
  return calls_.Serve("CheckpointPod", context, NotOffered);
}

grpc::Status RuntimeService::RestorePod(grpc::ServerContext* context, const cri::RestorePodRequest*,
                                        cri::RestorePodResponse*) {
  return calls_.Serve("RestorePod", context, NotOffered);
}

}  // namespace berth
