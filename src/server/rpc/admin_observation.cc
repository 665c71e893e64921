// berth.v1.BerthService: what happened and what happens.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/steady_time.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace v1 = berth::v1;

namespace {

constexpr absl::Duration kCancelCheck = absl::Milliseconds(200);
constexpr size_t kLeastIdPrefix = 4;

// A name matches whole parts of a subject, so that a pod's name finds its containers too.
bool Names(absl::string_view subject, absl::string_view object) {
  if (subject == object || absl::StartsWith(subject, absl::StrCat(object, "/"))) return true;
  const std::vector<absl::string_view> parts = absl::StrSplit(subject, '/');
  return std::find(parts.begin(), parts.end(), object) != parts.end();
}

bool IsOf(const OperationRecord& operation, absl::string_view object) {
  if (object.empty()) return true;
  if (object.size() >= kLeastIdPrefix && (absl::StartsWith(operation.pod_id, object) ||
                                          absl::StartsWith(operation.container_id, object)))
    return true;
  return Names(operation.subject, object) || Names(operation.for_pod, object);
}

void Fill(const OperationRecord& from, v1::Operation* out) {
  out->set_kind(from.kind);
  out->set_subject(from.subject);
  out->set_pod_id(from.pod_id);
  out->set_container_id(from.container_id);
  out->set_started_at(from.started_at);
  out->set_took(absl::ToInt64Nanoseconds(from.took));
  out->set_running(from.running);
  for (const OperationRecord::Stage& stage : from.stages) {
    v1::OperationStage* added = out->add_stages();
    added->set_name(stage.name);
    added->set_took(absl::ToInt64Nanoseconds(stage.took));
  }
  if (from.running) return;
  out->set_code(absl::StatusCodeToString(from.status.code()));
  out->set_message(std::string(from.status.message()));
}

}  // namespace

grpc::Status AdminService::ListOperations(grpc::ServerContext* context,
                                          const v1::ListOperationsRequest* request,
                                          v1::ListOperationsResponse* response) {
  return calls_.Serve("ListOperations", context, [&]() -> absl::Status {
    const auto matches = [&](const OperationRecord& operation) {
      return IsOf(operation, request->object());
    };
    for (const OperationRecord& operation : operations_.Find(matches))
      Fill(operation, response->add_operations());
    return absl::OkStatus();
  });
}

grpc::Status AdminService::WatchEvents(grpc::ServerContext* context,
                                       const v1::WatchEventsRequest* request,
                                       grpc::ServerWriter<v1::WatchEventsResponse>* writer) {
  return calls_.ServeStream("WatchEvents", context, [&]() -> absl::Status {
    uint64_t position = 0;
    do {
      v1::WatchEventsResponse batch;
      for (v1::Event& event : events_.After(
               &position, request->follow() ? SteadyNow() + kCancelCheck : absl::InfinitePast()))
        *batch.add_events() = std::move(event);
      if (batch.events_size() > 0 && !writer->Write(batch)) break;
    } while (request->follow() && !context->IsCancelled() && !events_.stopped());
    return absl::OkStatus();
  });
}

}  // namespace berth
