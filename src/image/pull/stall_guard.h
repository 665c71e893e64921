// Decides when a download has stalled: no byte for a while, or fewer bytes than a floor over a
// window, so that a trickle is no progress (I-35, docs/reliability.md). Time spent unpacking is not
// the network's. Pure: time comes in, as the duration since any fixed moment of a clock that only
// runs forward.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace berth {

struct StallLimits {
  absl::Duration header_timeout =
      absl::Seconds(30);  // from the request to the first byte of the answer
  absl::Duration idle = absl::Seconds(30);
  absl::Duration window = absl::Seconds(60);
  int64_t min_bytes_per_second = 10 << 10;
};

class StallGuard {
 public:
  StallGuard(const StallLimits& limits, absl::Duration now)
      : limits_(limits), last_byte_(now), window_start_(now) {}

  void Received(int64_t bytes, absl::Duration now) {
    started_ = true;
    last_byte_ = now;
    window_bytes_ += bytes;
  }

  // The receiver was busy for `duration` and did not read.
  void Excuse(absl::Duration duration) {
    last_byte_ += duration;
    window_start_ += duration;
  }

  // The reason, or "" while all is well.
  std::string Check(absl::Duration now) {
    const absl::Duration limit = started_ ? limits_.idle : limits_.header_timeout;
    if (now - last_byte_ >= limit) {
      return absl::StrCat(started_ ? "no byte" : "no answer", " for ", absl::FormatDuration(limit));
    }
    if (now - window_start_ < limits_.window) return "";
    const int64_t floor = limits_.min_bytes_per_second * absl::ToInt64Seconds(limits_.window);
    if (started_ && window_bytes_ < floor) {
      return absl::StrCat("only ", window_bytes_, " bytes in ",
                          absl::FormatDuration(limits_.window));
    }
    window_start_ = now;
    window_bytes_ = 0;
    return "";
  }

 private:
  const StallLimits limits_;
  bool started_ = false;
  absl::Duration last_byte_, window_start_;
  int64_t window_bytes_ = 0;
};

}  // namespace berth
