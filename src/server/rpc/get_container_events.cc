#include "src/server/runtime_service.h"

namespace berth {

grpc::Status RuntimeService::GetContainerEvents(
    grpc::ServerContext* context, const runtime::v1::GetEventsRequest*,
    grpc::ServerWriter<runtime::v1::ContainerEventResponse>* writer) {
  return events_.Serve(*context, *writer);
}

}  // namespace berth
