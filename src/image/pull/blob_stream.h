// One blob from one endpoint, from an offset to its end: in one request, or, where a large blob
// waits for the network and the endpoint knows ranges, by several connections at once.
#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/image/manifest.h"
#include "src/image/pull/blob_request.h"
#include "src/image/pull/buffer_pool.h"
#include "src/image/pull/endpoint.h"
#include "src/image/pull/http.h"

namespace berth {

class BlobStream {
 public:
  using Sink = absl::FunctionRef<absl::Status(absl::string_view)>;
  struct Options {
    Http::Options http;        // of the connections that fetch ahead
    BufferPool* pool;          // borrowed
    int connections = 3;       // beside the reader's own
    int64_t large = 16 << 20;  // what is left must be so long
  };
  // All borrowed for the stream's life.
  BlobStream(Endpoint* endpoint, Http* http, const Descriptor& blob, Sink sink,
             const Options& options)
      : endpoint_(endpoint), http_(http), blob_(blob), sink_(sink), options_(options) {}

  // From `offset` on. Unavailable: the connection broke, received() tells where; DataLoss: the
  // endpoint's blob is shorter than the manifest says.
  absl::Status Run(int64_t offset);

  int64_t received() const { return received_; }  // the first byte that is still missing
  bool refused_by_sink() const { return refused_by_sink_; }
  // Of the answer: of use for a later stream from the same endpoint.
  const std::string& entity_tag() const { return entity_tag_; }
  void set_entity_tag(const std::string& tag) { entity_tag_ = tag; }

 private:
  absl::Status Take(absl::string_view bytes);
  absl::Status Request(int64_t length, bool* partial);
  // The beginning of what is left, and whether it came so slowly that more connections may help.
  absl::Status Probe(bool* ahead);
  absl::Status Rest(bool ahead);

  Endpoint* const endpoint_;
  Http* const http_;
  const Descriptor& blob_;
  const Sink sink_;
  const Options& options_;
  int64_t received_ = 0;
  bool refused_by_sink_ = false;
  absl::Duration busy_;  // of the sink
  std::string entity_tag_;
};

}  // namespace berth
