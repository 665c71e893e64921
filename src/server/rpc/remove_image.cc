#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status ImageService::RemoveImage(grpc::ServerContext* context,
                                       const cri::RemoveImageRequest* request,
                                       cri::RemoveImageResponse*) {
  return calls_.Serve("RemoveImage", context, [&]() -> absl::Status {
    if (request->image().image().empty())
      return absl::InvalidArgumentError("image.image: is empty");
    return images_.Remove(request->image().image(),
                          [this](absl::string_view id) { return node_.ImageInUse(id); });
  });
}

}  // namespace berth
