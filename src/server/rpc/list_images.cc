#include "src/base/status_macros.h"
#include "src/server/convert/replies.h"
#include "src/server/convert/requests.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status ImageService::ListImages(grpc::ServerContext* context,
                                      const cri::ListImagesRequest* request,
                                      cri::ListImagesResponse* response) {
  return calls_.Serve("ListImages", context, [&]() -> absl::Status {
    const std::string& wanted = request->filter().image().image();
    for (const Image& image : images_.List()) {
      if (wanted.empty()) FillImage(image, response->add_images());
    }
    if (wanted.empty()) return absl::OkStatus();
    const absl::StatusOr<Image> image = images_.Find(wanted);
    if (image.ok()) FillImage(*image, response->add_images());
    return absl::OkStatus();
  });
}

}  // namespace berth
