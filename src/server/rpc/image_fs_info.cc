#include "absl/time/clock.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status ImageService::ImageFsInfo(grpc::ServerContext* context, const cri::ImageFsInfoRequest*,
                                       cri::ImageFsInfoResponse* response) {
  return calls_.Serve("ImageFsInfo", context, [&]() -> absl::Status {
    const int64_t now = absl::GetCurrentTimeNanos();
    const ImageStore::Usage images = images_.DiskUsage();
    cri::FilesystemUsage* image_usage = response->add_image_filesystems();
    image_usage->set_timestamp(now);
    image_usage->mutable_fs_id()->set_mountpoint(node_.data_dir());
    image_usage->mutable_used_bytes()->set_value(static_cast<uint64_t>(images.used_bytes));
    image_usage->mutable_inodes_used()->set_value(static_cast<uint64_t>(images.inodes));
    cri::FilesystemUsage* container_usage = response->add_container_filesystems();
    container_usage->set_timestamp(now);
    container_usage->mutable_fs_id()->set_mountpoint(node_.data_dir());
    uint64_t bytes = 0, inodes = 0;
    const std::shared_ptr<const NodeSnapshot> snapshot = node_.Snapshot();
    for (const auto& [id, container] : snapshot->containers) {
      const std::optional<Node::LayerUsage> layer = node_.WritableLayerUsage(id);
      bytes += layer ? static_cast<uint64_t>(layer->bytes) : 0;
      inodes += layer ? static_cast<uint64_t>(layer->inodes) : 0;
    }
    container_usage->mutable_used_bytes()->set_value(bytes);
    container_usage->mutable_inodes_used()->set_value(inodes);
    return absl::OkStatus();
  });
}

}  // namespace berth
