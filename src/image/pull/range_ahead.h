// The later chunks of one large blob, fetched by connections of their own while the reader is at
// an earlier one. The reader never depends on it: what no thread has taken, or what failed, the
// reader fetches itself.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "src/image/manifest.h"
#include "src/image/pull/buffer_pool.h"
#include "src/image/pull/endpoint.h"
#include "src/image/pull/http.h"

namespace berth {

class RangeAhead {
 public:
  // Chunks are of pool->bytes() and begin at `begin`. Endpoint, blob and pool are borrowed.
  RangeAhead(Endpoint* endpoint, const Descriptor& blob, int64_t begin, int threads,
             BufferPool* pool, Http::Options http);
  ~RangeAhead();  // ends the threads; may take a second where a registry is silent
  RangeAhead(const RangeAhead&) = delete;

  enum class Taken { kDelivered, kRefused, kNotHere };
  // The reader is at `offset`. Gives `sink` the chunk that begins there, waiting for it if it is
  // under way; kRefused with the sink's status. kNotHere: the chunk, or all that is left if
  // `offset` is no chunk's beginning, is the reader's to fetch.
  Taken Take(int64_t offset, absl::FunctionRef<absl::Status(absl::string_view)> sink,
             absl::Status* refused);

 private:
  struct Chunk {
    bool done = false;
    std::unique_ptr<std::string> bytes;  // null if it failed
  };
  void Fetch();
  absl::Status FetchChunk(Http& http, int64_t offset, std::string* buffer);
  int64_t ChunkLength(int64_t offset) const;

  Endpoint* const endpoint_;
  const Descriptor& blob_;
  const int64_t begin_;
  BufferPool* const pool_;
  Http::Options http_;
  std::atomic<bool> stop_ = false;
  absl::Mutex mu_;
  int64_t next_ ABSL_GUARDED_BY(mu_);  // the first chunk that nobody has taken
  std::map<int64_t, Chunk> chunks_ ABSL_GUARDED_BY(mu_);
  std::vector<std::thread> threads_;
};

}  // namespace berth
