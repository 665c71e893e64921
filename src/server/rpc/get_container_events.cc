#include "src/server/runtime_service.h"

namespace berth {

grpc::ServerWriteReactor<grpc::ByteBuffer>* RuntimeService::GetContainerEvents(
    grpc::CallbackServerContext*, const grpc::ByteBuffer*) {
  return events_.Open();
}

}  // namespace berth
