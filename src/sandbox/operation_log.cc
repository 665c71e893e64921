#include "src/sandbox/operation_log.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

namespace berth {

OperationLog::OperationLog(Limits limits, std::function<void(const OperationRecord&)> ended)
    : limits_(limits), ended_(std::move(ended)) {}

OperationLog::Operation OperationLog::Begin(const char* kind, Subject subject) {
  auto record = std::make_shared<OperationRecord>();
  record->kind = kind;
  record->subject = subject.name.substr(0, limits_.text_bytes);
  record->pod_id = std::move(subject.pod_id);
  record->container_id = std::move(subject.container_id);
  record->for_pod = subject.for_pod.substr(0, limits_.text_bytes);
  record->started_at = absl::GetCurrentTimeNanos();
  Operation operation(*this, record);
  absl::MutexLock lock(&mu_);
  if (const auto of_it = records_of_.find(record->subject);
      of_it != records_of_.end() && of_it->second >= limits_.records_of_subject)
    Erase(std::find_if(records_.begin(), records_.end(),
                       [&](const auto& other) { return other->subject == record->subject; }));
  if (records_.size() >= limits_.records) Erase(records_.begin());
  ++records_of_[record->subject];
  records_.push_back(std::move(record));
  return operation;
}

void OperationLog::Erase(Records::iterator record) {
  const auto of_its_subject = records_of_.find((*record)->subject);
  if (--of_its_subject->second == 0) records_of_.erase(of_its_subject);
  records_.erase(record);
}

void OperationLog::Operation::EndStage() {
  if (record_->stages.empty()) return;
  record_->stages.back().took += SteadyNow() - stage_begin_;
}

void OperationLog::Operation::Stage(const char* name) {
  absl::MutexLock lock(&log_->mu_);
  EndStage();
  stage_begin_ = SteadyNow();
  if (record_->stages.size() < log_->limits_.stages)
    record_->stages.push_back({name, absl::ZeroDuration()});
}

void OperationLog::Operation::SetPod(absl::string_view id) {
  absl::MutexLock lock(&log_->mu_);
  record_->pod_id = std::string(id);
}

void OperationLog::Operation::SetContainer(absl::string_view id) {
  absl::MutexLock lock(&log_->mu_);
  record_->container_id = std::string(id);
}

absl::Status OperationLog::Operation::End(absl::Status status) {
  if (record_ == nullptr) return status;
  {
    absl::MutexLock lock(&log_->mu_);
    EndStage();
    record_->running = false;
    record_->took = SteadyNow() - begin_;
    record_->status =
        absl::Status(status.code(), status.message().substr(0, log_->limits_.text_bytes));
  }
  // From here on nobody changes it.
  if (log_->ended_) log_->ended_(*record_);
  record_ = nullptr;
  return status;
}

OperationLog::Operation::~Operation() {
  if (record_ != nullptr) End(absl::UnknownError("it was given up")).IgnoreError();
}

std::vector<OperationRecord> OperationLog::Find(
    const std::function<bool(const OperationRecord&)>& matches) const {
  std::vector<OperationRecord> found;
  absl::MutexLock lock(&mu_);
  for (const auto& record : records_) {
    if (matches(*record)) found.push_back(*record);
  }
  return found;
}

}  // namespace berth
