// berth.v1.BerthService: what it tells of images and does with them.
#include "src/base/status_macros.h"
#include "src/image/image_details.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace v1 = berth::v1;

grpc::Status AdminService::ListPulls(grpc::ServerContext* context, const v1::ListPullsRequest*,
                                     v1::ListPullsResponse* response) {
  return calls_.Serve("ListPulls", context, [&]() -> absl::Status {
    for (const RunningPull& from : images_.Pulls()) {
      v1::Pull* pull = response->add_pulls();
      pull->set_reference(from.reference);
      pull->set_started_at(from.started_at);
      int64_t bytes = 0, total = 0;
      for (const PullProgress& progress : from.layers) {
        v1::PullImageProgress* layer = pull->add_layers();
        layer->set_layer(progress.layer);
        layer->set_state(progress.state);
        layer->set_bytes(progress.bytes);
        layer->set_total_bytes(progress.total_bytes);
        if (progress.state == "exists") continue;  // nothing of it is received
        bytes += progress.bytes;
        total += progress.total_bytes;
      }
      pull->set_bytes(bytes);
      pull->set_total_bytes(total);
    }
    return absl::OkStatus();
  });
}

grpc::Status AdminService::InspectImage(grpc::ServerContext* context,
                                        const v1::InspectImageRequest* request,
                                        v1::InspectImageResponse* response) {
  return calls_.Serve("InspectImage", context, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const ImageDetails details, images_.Inspect(request->reference()));
    const Image& image = details.image;
    response->set_id(image.id);
    response->mutable_repo_tags()->Add(image.repo_tags.begin(), image.repo_tags.end());
    response->mutable_repo_digests()->Add(image.repo_digests.begin(), image.repo_digests.end());
    response->set_size_bytes(image.size_bytes);
    response->set_pulled_at(details.pulled_at);
    response->set_config(details.config);
    response->set_manifest(details.manifest);
    response->set_manifest_media_type(details.manifest_media_type);
    response->set_manifest_digest(details.manifest_digest);
    for (const LayerDetails& from : details.layers) {
      v1::ImageLayer* layer = response->add_layers();
      layer->set_diff_id(from.diff_id);
      layer->set_blob_digest(from.blob_digest);
      layer->set_blob_bytes(from.blob_bytes);
      layer->set_size_bytes(from.size_bytes);
      layer->set_inodes(from.inodes);
      layer->set_directory(from.directory);
      layer->set_images(from.images);
      layer->set_damaged(from.damaged);
    }
    return absl::OkStatus();
  });
}

grpc::Status AdminService::TagImage(grpc::ServerContext* context,
                                    const v1::TagImageRequest* request, v1::TagImageResponse*) {
  return calls_.Serve("TagImage", context, [&]() -> absl::Status {
    return images_.Tag(request->reference(), request->name());
  });
}

grpc::Status AdminService::UntagImage(grpc::ServerContext* context,
                                      const v1::UntagImageRequest* request,
                                      v1::UntagImageResponse*) {
  return calls_.Serve("UntagImage", context,
                      [&]() -> absl::Status { return images_.Untag(request->name()); });
}

grpc::Status AdminService::VerifyImages(grpc::ServerContext* context,
                                        const v1::VerifyImagesRequest* request,
                                        grpc::ServerWriter<v1::VerifyImagesResponse>* writer) {
  return calls_.Serve("VerifyImages", context, [&]() -> absl::Status {
    const auto report = [&](const LayerState& state) {
      v1::VerifyImagesResponse message;
      message.set_diff_id(state.diff_id);
      message.set_directory(state.directory);
      message.set_state(VerdictName(state.verdict));
      message.set_detail(state.detail);
      writer->Write(message);  // a caller that is gone is seen by IsCancelled
    };
    return images_.Verify(request->reference(), request->repair(), report,
                          [context] { return context->IsCancelled(); });
  });
}

grpc::Status AdminService::CollectGarbage(grpc::ServerContext* context,
                                          const v1::CollectGarbageRequest* request,
                                          v1::CollectGarbageResponse* response) {
  return calls_.Serve("CollectGarbage", context, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::vector<GarbageItem> items,
                     images_.CollectGarbage(request->dry_run()));
    for (const GarbageItem& from : items) {
      v1::GarbageItem* item = response->add_items();
      item->set_kind(from.kind);
      item->set_name(from.name);
      item->set_bytes(from.bytes);
      item->set_kept(from.kept);
      item->set_why(from.why);
    }
    return absl::OkStatus();
  });
}

}  // namespace berth
