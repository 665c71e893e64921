#include "test/e2e/raw_call.h"

#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "test/e2e/client.h"

namespace berth::e2e {
namespace {

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices)
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

// One call at a time on a queue of its own: each step is waited for.
class SteppedCall {
 public:
  SteppedCall(grpc::GenericStub& stub, const std::string& method, absl::Duration timeout) {
    context_.set_wait_for_ready(true);
    context_.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    call_ = stub.PrepareCall(&context_, method, &queue_);
  }
  ~SteppedCall() {
    queue_.Shutdown();
    while (Await()) continue;
  }

  void Send(const std::string& request) {
    call_->StartCall(this);
    if (!Await()) return;
    const grpc::Slice slice(request);
    call_->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), this);
    Await();
  }
  bool Read(std::string* answer) {
    grpc::ByteBuffer buffer;
    call_->Read(&buffer, this);
    if (!Await()) return false;
    *answer = BytesOf(buffer);
    return true;
  }
  void Cancel() { context_.TryCancel(); }
  absl::Status Finish() {
    grpc::Status status;
    call_->Finish(&status, this);
    Await();
    return ToAbsl(status);
  }

 private:
  bool Await() {
    void* tag = nullptr;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }

  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
};

}  // namespace

RawCaller::RawCaller(const std::string& socket) : channel_(Connect(socket)), stub_(channel_) {}

absl::StatusOr<std::vector<std::string>> RawCaller::Call(const std::string& method,
                                                         const std::string& request,
                                                         absl::Duration timeout) {
  SteppedCall call(stub_, method, timeout);
  call.Send(request);
  std::vector<std::string> answers;
  for (std::string answer; call.Read(&answer);) answers.push_back(std::move(answer));
  RETURN_IF_ERROR(call.Finish());
  return answers;
}

absl::StatusOr<std::string> RawCaller::First(const std::string& method, const std::string& request,
                                             absl::Duration timeout) {
  SteppedCall call(stub_, method, timeout);
  call.Send(request);
  std::string answer;
  const bool came = call.Read(&answer);
  if (came) call.Cancel();
  const absl::Status status = call.Finish();
  if (!came) return status.ok() ? absl::NotFoundError("the stream is empty") : status;
  return answer;
}

}  // namespace berth::e2e
