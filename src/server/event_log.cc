#include "src/server/event_log.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/steady_time.h"

namespace berth {
namespace {

constexpr size_t kKeptEvents = 1024;

const char* NameOf(EventType type) {
  switch (type) {
    case EventType::kCreated:
      return "created";
    case EventType::kStarted:
      return "started";
    case EventType::kStopped:
      return "stopped";
    case EventType::kDeleted:
      return "deleted";
  }
  return "";
}

v1::Event MessageOf(const NodeEvent& event) {
  v1::Event message;
  message.set_at(event.at);
  message.set_type(NameOf(event.type));
  message.set_kind(event.of_pod ? "pod" : "container");
  message.set_id(event.id);
  message.set_pod_id(event.pod->id);
  message.set_subject(SubjectOf(event.pod->config));
  if (event.of_pod) return message;
  for (const auto& container : event.containers) {
    if (container->id != event.id) continue;
    message.set_subject(SubjectOf(event.pod->config, container->config));
    if (event.type != EventType::kStopped) continue;
    const ContainerStatus& status = container->status;
    if (status.reason == "OOMKilled") message.set_type("oom");
    message.set_detail(absl::StrCat("exit ", status.exit_code, ", ", status.reason,
                                    status.message.empty() ? "" : ": ", status.message));
  }
  return message;
}

}  // namespace

EventLog::EventLog(EventHub& hub) : hub_(hub) {
  hub_.Observe([this](const NodeEvent& event) { Append(MessageOf(event)); });
}

EventLog::~EventLog() { hub_.Observe(nullptr); }

void EventLog::Stop() {
  absl::MutexLock lock(&mu_);
  stopped_ = true;
}

bool EventLog::stopped() const {
  absl::MutexLock lock(&mu_);
  return stopped_;
}

void EventLog::Append(v1::Event event) {
  absl::MutexLock lock(&mu_);
  events_.push_back(std::move(event));
  if (events_.size() > kKeptEvents) events_.pop_front();
  ++end_;
}

void EventLog::Add(const OperationRecord& operation) {
  const bool pull = absl::string_view(operation.kind) == "PullImage";
  if (operation.status.ok() && !pull) return;
  v1::Event event;
  event.set_at(operation.started_at + absl::ToInt64Nanoseconds(operation.took));
  event.set_type(operation.status.ok() ? "pulled" : "failed");
  event.set_kind(pull ? "image" : operation.container_id.empty() ? "pod" : "container");
  event.set_id(operation.container_id.empty() ? operation.pod_id : operation.container_id);
  event.set_pod_id(operation.pod_id);
  event.set_subject(operation.subject);
  event.set_detail(operation.status.ok()
                       ? absl::StrCat("in ", absl::FormatDuration(absl::Trunc(
                                                 operation.took, absl::Milliseconds(1))))
                       : absl::StrCat(operation.kind, ": ", operation.status.message()));
  Append(std::move(event));
}

std::vector<v1::Event> EventLog::After(uint64_t* position, absl::Time deadline) const {
  const auto ready = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return stopped_ || end_ > *position; };
  absl::MutexLock lock(&mu_);
  AwaitUntil(mu_, absl::Condition(&ready), deadline);
  const uint64_t begin = end_ - events_.size();
  const uint64_t from = std::max(begin, *position);
  *position = end_;
  return {events_.begin() + static_cast<std::ptrdiff_t>(from - begin), events_.end()};
}

}  // namespace berth
