#include "src/server/convert/replies.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status ImageService::ListImages(grpc::ServerContext* context,
                                      const cri::ListImagesRequest* request,
                                      cri::ListImagesResponse* response) {
  return calls_.Serve("ListImages", context, [&]() -> absl::Status {
    for (const Image& image : ImagesFor(images_, request->filter()))
      FillImage(image, response->add_images());
    return absl::OkStatus();
  });
}

}  // namespace berth
