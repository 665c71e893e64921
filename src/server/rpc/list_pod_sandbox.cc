#include "src/server/convert/replies.h"
#include "src/server/raw_reply.h"
#include "src/server/runtime_service.h"

namespace berth {
namespace {

namespace cri = runtime::v1;

ReplyCache::Entry EntryOf(const PodPtr& pod) {
  return {pod, [pod](google::protobuf::MessageLite* out) {
            FillPodSandbox(*pod, static_cast<cri::PodSandbox*>(out));
          }};
}

}  // namespace

grpc::Status RuntimeService::ListPodSandbox(grpc::ServerContext* context, RawUnary* stream) {
  return ServeRaw<cri::ListPodSandboxRequest>(
      calls_, "ListPodSandbox", context, stream, [&](const cri::ListPodSandboxRequest& asked) {
        const std::shared_ptr<const NodeSnapshot> snapshot = node_.Snapshot();
        const auto entries = [&] {
          std::vector<ReplyCache::Entry> entries;
          for (const auto& [id, pod] : snapshot->pods) {
            if (Matches(asked.filter(), *pod)) entries.push_back(EntryOf(pod));
          }
          return entries;
        };
        return IsEmpty(asked.filter()) ? pods_.All(snapshot, entries) : pods_.Some(entries());
      });
}

}  // namespace berth
