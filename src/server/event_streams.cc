#include "src/server/event_streams.h"

#include <deque>
#include <utility>

#include "cri/runtime/v1/api.pb.h"
#include "src/server/convert/replies.h"

namespace berth {
namespace {

namespace cri = runtime::v1;

// A kubelet has one. More than this at a time is a client that does not close its own.
constexpr size_t kMaxStreams = 64;
constexpr size_t kStreamQueue = 1000;
constexpr size_t kUnsentEvents = 8192;

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

grpc::ByteBuffer BytesOf(const NodeEvent& event) {
  cri::ContainerEventResponse message;
  message.set_container_id(event.id);
  message.set_container_event_type(TypeOf(event.type));
  message.set_created_at(event.at);
  FillPodSandboxStatus(*event.pod, message.mutable_pod_sandbox_status());
  for (const auto& container : event.containers)
    FillContainerStatus(*container, message.add_containers_statuses());
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace

class EventStreams::Stream : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  explicit Stream(EventStreams& owner) : owner_(owner) {
    // A client that sees it knows that it misses no event from here on.
    StartSendInitialMetadata();
  }

  void Push(const grpc::ByteBuffer& event) {
    absl::MutexLock lock(&mu_);
    if (ended_) return;
    if (queue_.size() >= kStreamQueue) {
      queue_.pop_front();
      ++dropped_;
    }
    queue_.push_back(event);
    if (!writing_) WriteNext();
  }

  void End(grpc::Status status) {
    absl::MutexLock lock(&mu_);
    EndLocked(std::move(status));
  }

  uint64_t dropped() const {
    absl::MutexLock lock(&mu_);
    return dropped_;
  }

 private:
  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&mu_);
    writing_ = false;
    if (ended_) {
      Finish(last_);
    } else if (!ok) {
      EndLocked(grpc::Status(grpc::StatusCode::CANCELLED, "the client is gone"));
    } else if (!queue_.empty()) {
      WriteNext();
    }
  }
  void OnCancel() override { End(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled")); }
  void OnDone() override {
    owner_.Closed(this, dropped());
    delete this;
  }

  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    current_ = std::move(queue_.front());
    queue_.pop_front();
    writing_ = true;
    StartWrite(&current_);
  }
  // Finish may only follow a write that is done.
  void EndLocked(grpc::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (ended_) return;
    ended_ = true;
    last_ = std::move(status);
    queue_.clear();
    if (!writing_) Finish(last_);
  }

  EventStreams& owner_;
  mutable absl::Mutex mu_;
  std::deque<grpc::ByteBuffer> queue_ ABSL_GUARDED_BY(mu_);
  grpc::ByteBuffer current_ ABSL_GUARDED_BY(mu_);
  grpc::Status last_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false, ended_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t dropped_ ABSL_GUARDED_BY(mu_) = 0;
};

EventStreams::EventStreams(EventHub& hub, const Log& log)
    : log_(log), subscription_(hub.Subscribe(kUnsentEvents)), thread_([this] { Run(); }) {}

EventStreams::~EventStreams() { Stop(); }

grpc::ServerWriteReactor<grpc::ByteBuffer>* EventStreams::Open() {
  auto* stream = new Stream(*this);
  grpc::Status refusal;
  {
    absl::MutexLock lock(&mu_);
    if (stopping_) {
      refusal = grpc::Status(grpc::StatusCode::UNAVAILABLE, "berthd is stopping");
    } else if (streams_.size() >= kMaxStreams) {
      ++refused_;
      refusal =
          grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "too many event streams are open");
    } else {
      streams_.insert(stream);
    }
  }
  if (!refusal.ok()) stream->End(refusal);
  return stream;
}

void EventStreams::Closed(Stream* stream, uint64_t dropped) {
  absl::MutexLock lock(&mu_);
  streams_.erase(stream);
  dropped_ += static_cast<int64_t>(dropped);
}

void EventStreams::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    for (Stream* stream : streams_)
      stream->End(grpc::Status(grpc::StatusCode::UNAVAILABLE, "berthd is stopping"));
  }
  subscription_->Wake();
  if (thread_.joinable()) thread_.join();
}

EventStreams::Counts EventStreams::Read() const {
  absl::MutexLock lock(&mu_);
  Counts counts{.open = static_cast<int64_t>(streams_.size()),
                .refused = refused_,
                .dropped_events = dropped_ + static_cast<int64_t>(subscription_->dropped())};
  for (const Stream* stream : streams_)
    counts.dropped_events += static_cast<int64_t>(stream->dropped());
  return counts;
}

void EventStreams::Run() {
  uint64_t lost = 0;
  while (true) {
    const EventPtr event = subscription_->Next(absl::InfiniteFuture());
    if (subscription_->dropped() > lost) {
      lost = subscription_->dropped();
      log_.Warning("events lost: they come faster than they can be told", {{"lost", lost}});
    }
    absl::MutexLock lock(&mu_);
    if (stopping_) return;
    if (event == nullptr || streams_.empty()) continue;
    const grpc::ByteBuffer bytes = BytesOf(*event);
    for (Stream* stream : streams_) stream->Push(bytes);
  }
}

}  // namespace berth
