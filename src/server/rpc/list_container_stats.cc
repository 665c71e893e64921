#include "src/server/convert/replies.h"
#include "src/server/convert/stats_replies.h"
#include "src/server/raw_reply.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::ListContainerStats(grpc::ServerContext* context, RawUnary* stream) {
  return ServeRaw<cri::ListContainerStatsRequest>(
      calls_, "ListContainerStats", context, stream,
      [&](const cri::ListContainerStatsRequest& asked) {
        const std::shared_ptr<const ContainerSamples> samples = sampler_.Containers();
        const auto entries = [&] {
          std::vector<ReplyCache::Entry> entries;
          for (const auto& sample : *samples) {
            if (!Matches(asked.filter(), *sample->container)) continue;
            entries.push_back({sample, [this, sample](google::protobuf::MessageLite* out) {
                                 FillStats(*sample, static_cast<cri::ContainerStats*>(out));
                               }});
          }
          return entries;
        };
        return IsEmpty(asked.filter()) ? container_stats_.All(samples, entries)
                                       : container_stats_.Some(entries());
      });
}

}  // namespace berth
