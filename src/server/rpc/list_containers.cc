#include "src/server/convert/replies.h"
#include "src/server/raw_reply.h"
#include "src/server/runtime_service.h"

namespace berth {
namespace {

namespace cri = runtime::v1;

ReplyCache::Entry EntryOf(const ContainerPtr& container) {
  return {container, [container](google::protobuf::MessageLite* out) {
            FillContainer(*container, static_cast<cri::Container*>(out));
          }};
}

}  // namespace

grpc::Status RuntimeService::ListContainers(grpc::ServerContext* context, RawUnary* stream) {
  return ServeRaw<cri::ListContainersRequest>(
      calls_, "ListContainers", context, stream, [&](const cri::ListContainersRequest& asked) {
        const std::shared_ptr<const NodeSnapshot> snapshot = node_.Snapshot();
        const auto entries = [&] {
          std::vector<ReplyCache::Entry> entries;
          for (const auto& [id, container] : snapshot->containers) {
            if (Matches(asked.filter(), *container)) entries.push_back(EntryOf(container));
          }
          return entries;
        };
        return IsEmpty(asked.filter()) ? containers_.All(snapshot, entries)
                                       : containers_.Some(entries());
      });
}

}  // namespace berth
