// Cuts a client's bytes into SPDY/3.1 frames. Control frames come whole, data in the pieces in
// which it arrived, so that no frame has to be kept. Pure; not thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace berth {

inline constexpr size_t kMaxSpdyControlBytes = 64 << 10;

class SpdyFrameSink {
 public:
  virtual ~SpdyFrameSink() = default;
  // An error ends the connection.
  virtual absl::Status OnControl(uint16_t type, uint8_t flags, absl::string_view payload) = 0;
  // `last`: the frame ends with these bytes, of which there may be none.
  virtual absl::Status OnData(uint32_t stream, absl::string_view bytes, uint8_t flags,
                              bool last) = 0;
};

class SpdyParser {
 public:
  // InvalidArgument for what is no SPDY/3.1 or breaks a limit, else the first error of `sink`.
  // After an error it must not be fed again.
  absl::Status Feed(absl::string_view bytes, SpdyFrameSink& sink);

 private:
  absl::Status Begin(SpdyFrameSink& sink);
  absl::Status FeedControl(absl::string_view& bytes, SpdyFrameSink& sink);
  absl::Status FeedData(absl::string_view& bytes, SpdyFrameSink& sink);

  std::string buffered_;  // the head, then a control frame's payload
  bool in_frame_ = false;
  bool control_ = false;
  uint32_t word_ = 0;  // the first of the head
  uint8_t flags_ = 0;
  size_t left_ = 0;  // of the payload
};

}  // namespace berth
