// A list that goes out as a stream of batches, each well below a client's limit of a message.
#pragma once

#include <grpcpp/support/sync_stream.h>

#include <cstddef>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace berth {

inline constexpr size_t kBatchEntries = 256;
inline constexpr size_t kBatchBytes = 1 << 20;

// Collects entries and sends each full batch. What it sends was snapshot before: no lock is held
// while a client is slow. Of one stream, one thread.
template <typename Response>
class Batches {
 public:
  explicit Batches(grpc::ServerWriter<Response>* writer) : writer_(writer) {}

  // `add` puts one entry into the batch. Cancelled: the client is gone.
  absl::Status Add(absl::FunctionRef<size_t(Response& batch)> add) {
    bytes_ += add(batch_);
    if (++entries_ < kBatchEntries && bytes_ < kBatchBytes) return absl::OkStatus();
    return Flush();
  }
  absl::Status Flush() {
    if (entries_ == 0) return absl::OkStatus();
    const bool sent = writer_->Write(batch_);
    batch_.Clear();
    entries_ = bytes_ = 0;
    return sent ? absl::OkStatus() : absl::CancelledError("the client is gone");
  }

 private:
  grpc::ServerWriter<Response>* const writer_;
  Response batch_;
  size_t entries_ = 0, bytes_ = 0;
};

}  // namespace berth
