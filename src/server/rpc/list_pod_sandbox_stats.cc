#include "src/server/convert/replies.h"
#include "src/server/convert/stats_replies.h"
#include "src/server/raw_reply.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;

grpc::Status RuntimeService::ListPodSandboxStats(grpc::ServerContext* context, RawUnary* stream) {
  return ServeRaw<cri::ListPodSandboxStatsRequest>(
      calls_, "ListPodSandboxStats", context, stream,
      [&](const cri::ListPodSandboxStatsRequest& asked) {
        const std::shared_ptr<const PodSamples> samples = sampler_.Pods();
        const auto entries = [&] {
          std::vector<ReplyCache::Entry> entries;
          for (const auto& sample : *samples) {
            if (!Matches(asked.filter(), *sample->pod)) continue;
            entries.push_back({sample, [this, sample](google::protobuf::MessageLite* out) {
                                 FillStats(*sample, static_cast<cri::PodSandboxStats*>(out));
                               }});
          }
          return entries;
        };
        return IsEmpty(asked.filter()) ? pod_stats_.All(samples, entries)
                                       : pod_stats_.Some(entries());
      });
}

}  // namespace berth
