#include <nlohmann/json.hpp>
#include "src/server/convert/replies.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status ImageService::ImageStatus(grpc::ServerContext* context,
                                       const cri::ImageStatusRequest* request,
                                       cri::ImageStatusResponse* response) {
  return calls_.Serve("ImageStatus", context, [&]() -> absl::Status {
    if (request->image().image().empty())
      return absl::InvalidArgumentError("image.image: is empty");
    const absl::StatusOr<Image> image = images_.Find(request->image().image());
    if (absl::IsNotFound(image.status())) return absl::OkStatus();
    if (!image.ok()) return image.status();
    FillImage(*image, response->mutable_image());
    if (request->verbose()) {
      (*response->mutable_info())["info"] =
          nlohmann::json{{"layers", image->layers},
                         {"imageSpec",
                          {{"Env", image->config.env},
                           {"Entrypoint", image->config.entrypoint},
                           {"Cmd", image->config.cmd},
                           {"User", image->config.user},
                           {"WorkingDir", image->config.working_dir},
                           {"StopSignal", image->config.stop_signal},
                           {"Labels", image->config.labels}}}}
              .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    }
    return absl::OkStatus();
  });
}

}  // namespace berth
