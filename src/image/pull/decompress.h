// Streaming decompression of a layer: gzip (any number of members, checksums verified), zstd, or
// none, told apart by the first bytes and never by a label. Bytes are pushed in, plain bytes come
// out. One owner thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/image/pull/window_budget.h"

namespace berth {

using ByteSink = absl::FunctionRef<absl::Status(absl::string_view)>;

struct DecompressLimits {
  int64_t output_bytes = int64_t{128} << 30;
  // Beyond `ratio_from_bytes` of output, more than `ratio` times the input is a bomb.
  int64_t ratio_from_bytes = int64_t{1} << 30;
  int64_t ratio = 500;
};

class Decompressor {
 public:
  // What zstd remembers of the plain bytes is counted in `windows`, which outlives this.
  explicit Decompressor(WindowBudget& windows, const DecompressLimits& limits = {});
  ~Decompressor();

  // DataLoss for corrupt input, Unimplemented for xz and bzip2, ResourceExhausted for limits;
  // errors of `out`.
  absl::Status Feed(absl::string_view bytes, ByteSink out);
  // After the last byte. DataLoss if the stream is cut short.
  absl::Status Finish(ByteSink out);

  // Whether it was a limit that ended it.
  bool over_limit() const { return over_limit_; }

  // One compression format.
  class Codec {
   public:
    virtual ~Codec() = default;
    virtual absl::Status Feed(absl::string_view bytes, ByteSink out) = 0;
    virtual absl::Status Finish() = 0;
  };

 private:
  absl::Status Choose();
  absl::Status Pass(absl::string_view bytes, ByteSink out);

  WindowBudget& windows_;
  const DecompressLimits limits_;
  std::string start_;  // until the format is known
  std::unique_ptr<Codec> codec_;
  int64_t in_bytes_ = 0, out_bytes_ = 0;
  bool over_limit_ = false;
};

}  // namespace berth
