#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "src/base/status_macros.h"
#include "src/server/convert/requests.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;
namespace {

constexpr absl::string_view kSignature = "SignatureValidationFailed";

// An image is the same for every handler, but one that does not exist could never run it.
absl::Status CheckHandler(const Node& node, const std::string& name) {
  for (const Node::Handler& handler : node.Handlers()) {
    if (handler.name == name) return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("image.runtime_handler: \"", name, "\" is not configured"));
}

// Which pod a kubelet pulls for: `berth why` tells of the pull as the pod's.
std::string PodOf(const cri::PodSandboxConfig& config) {
  if (!config.has_metadata()) return "";
  return absl::StrCat(config.metadata().namespace_(), "/", config.metadata().name());
}

}  // namespace

grpc::Status ImageService::PullImage(grpc::ServerContext* context,
                                     const cri::PullImageRequest* request,
                                     cri::PullImageResponse* response) {
  return calls_.Serve("PullImage", context, [&]() -> absl::Status {
    if (request->image().image().empty())
      return absl::InvalidArgumentError("image.image: is empty");
    RETURN_IF_ERROR(CheckHandler(node_, request->image().runtime_handler()));
    ASSIGN_OR_RETURN(RegistryAuth auth, ParseAuth(request->auth()));
    OperationLog::Operation operation = operations_.Begin(
        "PullImage",
        {.name = request->image().image(), .for_pod = PodOf(request->sandbox_config())});
    const absl::StatusOr<std::string> id = images_.Pull(
        {.reference = request->image().image(), .auth = std::move(auth), .cancelled = [context] {
           return context->IsCancelled();
         }});
    operation.End(id.status()).IgnoreError();
    // The kubelet recognises sentinels like these two only in errors of code Unknown.
    if (absl::IsUnavailable(id.status())) {
      const std::string message =
          absl::StrReplaceAll(id.status().message(), {{"RegistryUnavailable: ", ""}});
      return absl::UnknownError(absl::StrCat("RegistryUnavailable: ", message));
    }
    const absl::string_view message = id.status().message();
    if (const size_t at = message.find(kSignature); at != absl::string_view::npos)
      return absl::UnknownError(message.substr(at));
    if (!id.ok()) return id.status();
    response->set_image_ref(*id);
    return absl::OkStatus();
  });
}

}  // namespace berth
