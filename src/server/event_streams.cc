#include "src/server/event_streams.h"

#include "absl/cleanup/cleanup.h"
#include "src/base/steady_time.h"
#include "src/server/convert/replies.h"

namespace berth {
namespace {

namespace cri = runtime::v1;

// A kubelet has one. More than this at a time is a client that does not close its own.
constexpr size_t kMaxStreams = 64;
constexpr size_t kStreamQueue = 1000;
// A client that has gone is noticed at the next event, and that often.
constexpr absl::Duration kLookForClient = absl::Seconds(1);
constexpr absl::Duration kAwaitRoom = absl::Seconds(1);

cri::ContainerEventType TypeOf(EventType type) {
  switch (type) {
    case EventType::kCreated:
      return cri::CONTAINER_CREATED_EVENT;
    case EventType::kStarted:
      return cri::CONTAINER_STARTED_EVENT;
    case EventType::kStopped:
      return cri::CONTAINER_STOPPED_EVENT;
    case EventType::kDeleted:
      return cri::CONTAINER_DELETED_EVENT;
  }
  return cri::CONTAINER_CREATED_EVENT;
}

cri::ContainerEventResponse EventMessageOf(const NodeEvent& event) {
  cri::ContainerEventResponse message;
  message.set_container_id(event.id);
  message.set_container_event_type(TypeOf(event.type));
  message.set_created_at(event.at);
  FillPodSandboxStatus(*event.pod, message.mutable_pod_sandbox_status());
  for (const auto& container : event.containers)
    FillContainerStatus(*container, message.add_containers_statuses());
  return message;
}

grpc::Status Stopping() {
  return grpc::Status(grpc::StatusCode::UNAVAILABLE, "berthd is stopping");
}

}  // namespace

grpc::Status EventStreams::Serve(const grpc::ServerContext& context,
                                 grpc::ServerWriter<cri::ContainerEventResponse>& writer) {
  const std::unique_ptr<EventHub::Subscription> events = hub_.Subscribe(kStreamQueue);
  const grpc::Status entered = Enter(events.get());
  if (!entered.ok()) return entered;
  const auto leave = absl::MakeCleanup([&] { Leave(events.get()); });
  // A client that sees it knows that it misses no event from here on.
  writer.SendInitialMetadata();
  while (!context.IsCancelled()) {
    const EventPtr event = events->Next(SteadyNow() + kLookForClient);
    if (stopping()) return Stopping();
    if (event != nullptr && !writer.Write(EventMessageOf(*event))) break;
  }
  return grpc::Status(grpc::StatusCode::CANCELLED, "the client is gone");
}

grpc::Status EventStreams::Enter(EventHub::Subscription* stream) {
  const auto room = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return stopping_ || streams_.size() < kMaxStreams;
  };
  absl::MutexLock lock(&mu_);
  if (!room()) {
    // Those whose clients have gone leave.
    for (EventHub::Subscription* other : streams_) other->Wake();
    AwaitFor(mu_, absl::Condition(&room), kAwaitRoom);
  }
  if (stopping_) return Stopping();
  if (!room()) {
    ++refused_;
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "too many event streams are open");
  }
  streams_.insert(stream);
  return grpc::Status::OK;
}

void EventStreams::Leave(EventHub::Subscription* stream) {
  absl::MutexLock lock(&mu_);
  streams_.erase(stream);
  dropped_ += static_cast<int64_t>(stream->dropped());
}

bool EventStreams::stopping() const {
  absl::MutexLock lock(&mu_);
  return stopping_;
}

void EventStreams::Stop() {
  absl::MutexLock lock(&mu_);
  stopping_ = true;
  for (EventHub::Subscription* stream : streams_) stream->Wake();
}

EventStreams::Counts EventStreams::Read() const {
  absl::MutexLock lock(&mu_);
  Counts counts{.open = static_cast<int64_t>(streams_.size()),
                .refused = refused_,
                .dropped_events = dropped_};
  for (const EventHub::Subscription* stream : streams_)
    counts.dropped_events += static_cast<int64_t>(stream->dropped());
  return counts;
}

}  // namespace berth
