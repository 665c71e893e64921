// One request for a blob, or for the rest of it after a break, from one endpoint.
#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/image/digest.h"
#include "src/image/pull/endpoint.h"
#include "src/image/pull/http.h"

namespace berth {

struct BlobRange {
  Digest digest;
  int64_t offset = 0;      // the first byte wanted
  int64_t length = -1;     // -1: to the end
  std::string entity_tag;  // of what came before, for If-Range; "" if unknown
};

struct BlobPart {
  absl::Status status;
  bool refused_by_sink = false;  // `status` is the sink's own: no reason to try elsewhere
  std::string entity_tag;        // a strong one (RFC 9110 §8.8.3), or ""
  bool partial = false;          // the endpoint answered with the range (206), not with the whole
};

// `sink` gets the bytes from `offset` on, also of an endpoint that sends the whole again. A blob
// that ends early is no error here. DataLoss if the answer is another range than asked for.
BlobPart RequestBlob(Endpoint& endpoint, Http& http, const BlobRange& range,
                     absl::FunctionRef<absl::Status(absl::string_view)> sink);

}  // namespace berth
