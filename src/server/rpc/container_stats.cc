#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/server/convert/replies.h"
#include "src/server/convert/requests.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;
void RuntimeService::FillStats(const ContainerRecord& container, cri::ContainerStats* out) {
  const cri::ContainerConfig& config = RequestOf(container).config();
  out->mutable_attributes()->set_id(container.id);
  *out->mutable_attributes()->mutable_metadata() = config.metadata();
  *out->mutable_attributes()->mutable_labels() = config.labels();
  *out->mutable_attributes()->mutable_annotations() = config.annotations();
  if (const std::optional<Node::LayerUsage> layer = node_.WritableLayerUsage(container.id)) {
    cri::FilesystemUsage* usage = out->mutable_writable_layer();
    usage->set_timestamp(layer->at);
    usage->mutable_fs_id()->set_mountpoint(node_.data_dir());
    usage->mutable_used_bytes()->set_value(static_cast<uint64_t>(layer->bytes));
    usage->mutable_inodes_used()->set_value(static_cast<uint64_t>(layer->inodes));
  }
  const absl::StatusOr<CgroupUsage> usage = node_.ContainerUsage(container);
  if (!usage.ok()) return;
  const int64_t now = absl::GetCurrentTimeNanos();
  out->mutable_cpu()->set_timestamp(now);
  out->mutable_cpu()->mutable_usage_core_nano_seconds()->set_value(usage->cpu_ns);
  {
    // The rate over at least a second since the sample before; unset until there is one.
    constexpr int64_t kWindowNs = 1000000000;
    absl::MutexLock lock(&mu_);
    CpuSample& sample = cpu_samples_[container.id];
    if (sample.at_ns == 0 || now - sample.at_ns >= kWindowNs) {
      if (sample.at_ns != 0 && usage->cpu_ns >= sample.usage_ns) {
        sample.rate = static_cast<uint64_t>(static_cast<double>(usage->cpu_ns - sample.usage_ns) *
                                            1e9 / static_cast<double>(now - sample.at_ns));
      }
      sample.at_ns = now;
      sample.usage_ns = usage->cpu_ns;
    }
    if (sample.rate) out->mutable_cpu()->mutable_usage_nano_cores()->set_value(*sample.rate);
  }
  cri::MemoryUsage* memory = out->mutable_memory();
  memory->set_timestamp(now);
  const uint64_t working_set = usage->memory_bytes > usage->memory_inactive_file
                                   ? usage->memory_bytes - usage->memory_inactive_file
                                   : 0;
  memory->mutable_working_set_bytes()->set_value(working_set);
  memory->mutable_usage_bytes()->set_value(usage->memory_bytes);
  memory->mutable_rss_bytes()->set_value(usage->memory_rss);
  memory->mutable_page_faults()->set_value(usage->page_faults);
  memory->mutable_major_page_faults()->set_value(usage->major_page_faults);
  if (usage->memory_limit) {
    memory->mutable_available_bytes()->set_value(
        *usage->memory_limit > working_set ? *usage->memory_limit - working_set : 0);
  }
  if (usage->swap_bytes) {
    out->mutable_swap()->set_timestamp(now);
    out->mutable_swap()->mutable_swap_usage_bytes()->set_value(*usage->swap_bytes);
  }
}

grpc::Status RuntimeService::ContainerStats(grpc::ServerContext* context,
                                            const cri::ContainerStatsRequest* request,
                                            cri::ContainerStatsResponse* response) {
  return calls_.Serve("ContainerStats", context, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const ContainerPtr container, node_.FindContainer(request->container_id()));
    FillStats(*container, response->mutable_stats());
    return absl::OkStatus();
  });
}

}  // namespace berth
