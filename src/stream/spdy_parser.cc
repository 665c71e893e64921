#include "src/stream/spdy_parser.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/stream/spdy_wire.h"

namespace berth {

absl::Status SpdyParser::Begin(SpdyFrameSink& sink) {
  word_ = ReadU32(buffered_, 0);
  const uint32_t second = ReadU32(buffered_, 4);
  flags_ = static_cast<uint8_t>(second >> 24);
  left_ = second & 0xffffff;
  buffered_.clear();
  in_frame_ = true;
  control_ = (word_ & 0x80000000) != 0;
  if (!control_) {
    if (left_ > 0) return absl::OkStatus();
    in_frame_ = false;
    return sink.OnData(word_, "", flags_, true);
  }
  const uint16_t version = (word_ >> 16) & 0x7fff;
  if (version != kSpdyVersion)
    return absl::InvalidArgumentError(absl::StrCat("SPDY frame: version ", version, " is not 3"));
  if (left_ > kMaxSpdyControlBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("SPDY frame: a control frame of ", left_, " bytes is too long"));
  }
  return absl::OkStatus();
}

absl::Status SpdyParser::FeedControl(absl::string_view& bytes, SpdyFrameSink& sink) {
  const size_t take = std::min(left_ - buffered_.size(), bytes.size());
  buffered_.append(bytes.data(), take);
  bytes.remove_prefix(take);
  if (buffered_.size() < left_) return absl::OkStatus();
  in_frame_ = false;
  const std::string payload = std::exchange(buffered_, std::string());
  return sink.OnControl(static_cast<uint16_t>(word_), flags_, payload);
}

absl::Status SpdyParser::FeedData(absl::string_view& bytes, SpdyFrameSink& sink) {
  const absl::string_view piece = bytes.substr(0, left_);
  bytes.remove_prefix(piece.size());
  left_ -= piece.size();
  in_frame_ = left_ > 0;
  return sink.OnData(word_, piece, flags_, !in_frame_);
}

absl::Status SpdyParser::Feed(absl::string_view bytes, SpdyFrameSink& sink) {
  // A control frame without payload is complete as soon as its head is.
  while (!bytes.empty() || (in_frame_ && control_ && left_ == 0)) {
    if (!in_frame_) {
      const size_t take = std::min(kSpdyHeadBytes - buffered_.size(), bytes.size());
      buffered_.append(bytes.data(), take);
      bytes.remove_prefix(take);
      if (buffered_.size() == kSpdyHeadBytes) RETURN_IF_ERROR(Begin(sink));
    } else {
      RETURN_IF_ERROR(control_ ? FeedControl(bytes, sink) : FeedData(bytes, sink));
    }
  }
  return absl::OkStatus();
}

}  // namespace berth
