#include "src/image/pull/range_ahead.h"

#include <algorithm>
#include <utility>

#include "src/image/pull/blob_request.h"

namespace berth {

RangeAhead::RangeAhead(Endpoint* endpoint, const Descriptor& blob, int64_t begin, int threads,
                       BufferPool* pool, Http::Options http)
    : endpoint_(endpoint),
      blob_(blob),
      begin_(begin),
      pool_(pool),
      http_(std::move(http)),
      next_(begin) {
  http_.cancelled = [this, cancelled = std::move(http_.cancelled)] {
    return stop_.load(std::memory_order_relaxed) || (cancelled && cancelled());
  };
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Fetch(); });
}

RangeAhead::~RangeAhead() {
  stop_ = true;
  for (std::thread& thread : threads_) thread.join();
  for (auto& [offset, chunk] : chunks_) {
    if (chunk.bytes != nullptr) pool_->Release(std::move(chunk.bytes));
  }
}

int64_t RangeAhead::ChunkLength(int64_t offset) const {
  return std::min(static_cast<int64_t>(pool_->bytes()), blob_.size - offset);
}

absl::Status RangeAhead::FetchChunk(Http& http, int64_t offset, std::string* buffer) {
  const auto length = static_cast<size_t>(ChunkLength(offset));
  const auto take = [&](absl::string_view bytes) -> absl::Status {
    if (buffer->size() + bytes.size() > length) return absl::DataLossError("more than asked for");
    buffer->append(bytes.data(), bytes.size());
    return absl::OkStatus();
  };
  const BlobPart part = RequestBlob(
      *endpoint_, http,
      {.digest = blob_.digest, .offset = offset, .length = static_cast<int64_t>(length)}, take);
  if (!part.status.ok()) return part.status;
  return buffer->size() == length ? absl::OkStatus() : absl::DataLossError("less than asked for");
}

void RangeAhead::Fetch() {
  Http http(http_);
  while (!stop_) {
    std::unique_ptr<std::string> buffer = pool_->Acquire([this] { return stop_.load(); });
    if (buffer == nullptr) return;
    int64_t offset = 0;
    {
      absl::MutexLock lock(&mu_);
      offset = next_;
      if (offset < blob_.size) {
        next_ += ChunkLength(offset);
        chunks_[offset];
      }
    }
    const bool any = offset < blob_.size;
    const absl::Status fetched =
        any ? FetchChunk(http, offset, buffer.get()) : absl::CancelledError("the end");
    if (!fetched.ok()) pool_->Release(std::move(buffer));
    if (!any) return;
    absl::MutexLock lock(&mu_);
    Chunk& chunk = chunks_[offset];
    chunk.done = true;
    chunk.bytes = std::move(buffer);
    // The reader will find out what is wrong, and has the way to deal with it.
    if (!fetched.ok()) return;
  }
}

RangeAhead::Taken RangeAhead::Take(int64_t offset,
                                   absl::FunctionRef<absl::Status(absl::string_view)> sink,
                                   absl::Status* refused) {
  std::unique_ptr<std::string> bytes;
  {
    absl::MutexLock lock(&mu_);
    if (offset == next_) {
      next_ += ChunkLength(offset);
      return Taken::kNotHere;
    }
    const auto found = chunks_.find(offset);
    if (found == chunks_.end()) return Taken::kNotHere;
    mu_.Await(absl::Condition(&found->second.done));
    bytes = std::move(found->second.bytes);
    chunks_.erase(found);
  }
  if (bytes == nullptr) return Taken::kNotHere;
  *refused = sink(*bytes);
  pool_->Release(std::move(bytes));
  return refused->ok() ? Taken::kDelivered : Taken::kRefused;
}

}  // namespace berth
