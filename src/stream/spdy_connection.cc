#include "src/stream/spdy_connection.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

// Every so many consumed bytes the peer is told.
constexpr int64_t kReportEvery = kSpdyFirstWindow / 2;

constexpr uint32_t kGoAwayOk = 0, kGoAwayProtocolError = 1;

absl::Status Malformed(absl::string_view frame) {
  return absl::InvalidArgumentError(absl::StrCat("SPDY frame: a malformed ", frame));
}

}  // namespace

absl::Status SpdyConnection::Feed(absl::string_view bytes) {
  const absl::Status status = parser_.Feed(bytes, *this);
  if (!status.ok() && !gone_away_) {
    std::string payload;
    AppendU32(payload, last_stream_);
    AppendU32(payload, kGoAwayProtocolError);
    Emit(SpdyType::kGoAway, payload);
    gone_away_ = true;
  }
  return status;
}

void SpdyConnection::Emit(SpdyType type, absl::string_view payload) {
  output_ += SpdyControlFrame(type, 0, payload);
}

absl::Status SpdyConnection::OnControl(uint16_t type, uint8_t flags, absl::string_view payload) {
  switch (static_cast<SpdyType>(type)) {
    case SpdyType::kSynStream:
      return OnSynStream(flags, payload);
    case SpdyType::kSynReply:  // to a stream that we never opened
      return Malformed("SYN_REPLY");
    case SpdyType::kHeaders:
      return OnHeaders(flags, payload);
    case SpdyType::kRstStream:
      return OnRstStream(payload);
    case SpdyType::kSettings:
      return OnSettings(payload);
    case SpdyType::kPing:
      return OnPing(payload);
    case SpdyType::kGoAway:
      return OnGoAwayFrame(payload);
    case SpdyType::kWindowUpdate:
      return OnWindowUpdate(payload);
  }
  return absl::OkStatus();  // unknown types are to be skipped
}

absl::Status SpdyConnection::OnSynStream(uint8_t flags, absl::string_view payload) {
  constexpr size_t kFixed = 10;
  if (payload.size() < kFixed) return Malformed("SYN_STREAM");
  const uint32_t stream = ReadU32(payload, 0) & kSpdyStreamMask;
  // Blocks are inflated even of streams that are refused: the compression goes on through them.
  ASSIGN_OR_RETURN(const std::string block, inflater_.Inflate(payload.substr(kFixed)));
  if (stream % 2 == 0 || stream <= last_stream_)
    return absl::InvalidArgumentError(absl::StrCat("SPDY frame: stream ", stream, " out of order"));
  last_stream_ = stream;
  if (peer_goes_away_ || gone_away_) return absl::OkStatus();
  const absl::StatusOr<SpdyHeaders> headers = ParseSpdyHeaders(block);
  if (!headers.ok()) {
    SendReset(stream, SpdyReset::kProtocolError);
    return absl::OkStatus();
  }
  if (streams_.size() >= max_streams_ || !events_.OnOpen(stream, *headers)) {
    SendReset(stream, SpdyReset::kRefusedStream);
    return absl::OkStatus();
  }
  Stream state = {.send_window = first_send_window_};
  state.local_open = (flags & kSpdyUnidirectional) == 0;
  streams_.emplace(stream, state);
  std::string reply;
  AppendU32(reply, stream);
  reply += deflater_.Deflate(SerializeSpdyHeaders({}));
  Emit(SpdyType::kSynReply, reply);
  if ((flags & kSpdyFin) != 0) RemoteFin(stream);
  return absl::OkStatus();
}

absl::Status SpdyConnection::OnHeaders(uint8_t flags, absl::string_view payload) {
  if (payload.size() < 4) return Malformed("HEADERS");
  RETURN_IF_ERROR(inflater_.Inflate(payload.substr(4)).status());
  if ((flags & kSpdyFin) != 0) RemoteFin(ReadU32(payload, 0) & kSpdyStreamMask);
  return absl::OkStatus();
}

absl::Status SpdyConnection::OnRstStream(absl::string_view payload) {
  if (payload.size() != 8) return Malformed("RST_STREAM");
  const uint32_t stream = ReadU32(payload, 0) & kSpdyStreamMask;
  if (streams_.erase(stream) > 0) events_.OnReset(stream);
  return absl::OkStatus();
}

absl::Status SpdyConnection::OnSettings(absl::string_view payload) {
  if (payload.size() < 4 || payload.size() != 4 + uint64_t{ReadU32(payload, 0)} * 8)
    return Malformed("SETTINGS");
  for (size_t at = 4; at < payload.size(); at += 8) {
    if ((ReadU32(payload, at) & 0xffffff) != kSpdySettingFirstWindow) continue;
    const int64_t window = ReadU32(payload, at + 4);
    if (window > kSpdyMaxWindow) return Malformed("SETTINGS");
    for (auto& [id, stream] : streams_) stream.send_window += window - first_send_window_;
    first_send_window_ = window;
    peer_keeps_stream_windows_ = true;
    events_.OnWindow();
  }
  return absl::OkStatus();
}

absl::Status SpdyConnection::OnPing(absl::string_view payload) {
  if (payload.size() != 4) return Malformed("PING");
  if (ReadU32(payload, 0) % 2 == 1) Emit(SpdyType::kPing, payload);
  return absl::OkStatus();
}

absl::Status SpdyConnection::OnGoAwayFrame(absl::string_view payload) {
  if (payload.size() != 8) return Malformed("GOAWAY");
  if (!std::exchange(peer_goes_away_, true)) events_.OnGoAway();
  return absl::OkStatus();
}

absl::Status SpdyConnection::OnWindowUpdate(absl::string_view payload) {
  if (payload.size() != 8) return Malformed("WINDOW_UPDATE");
  const uint32_t id = ReadU32(payload, 0) & kSpdyStreamMask;
  const int64_t delta = ReadU32(payload, 4) & kSpdyStreamMask;
  if (id == 0) {
    peer_keeps_connection_window_ = true;
    connection_send_window_ += delta;
    if (delta == 0 || connection_send_window_ > kSpdyMaxWindow) return Malformed("WINDOW_UPDATE");
  } else if (const auto at = streams_.find(id); at != streams_.end()) {
    peer_keeps_stream_windows_ = true;
    at->second.send_window += delta;
    if (delta == 0 || at->second.send_window > kSpdyMaxWindow) {
      Reset(id, SpdyReset::kFlowControlError);
      events_.OnReset(id);
    }
  }
  events_.OnWindow();
  return absl::OkStatus();
}

absl::Status SpdyConnection::OnData(uint32_t stream, absl::string_view bytes, uint8_t flags,
                                    bool last) {
  const auto at = streams_.find(stream);
  if (at == streams_.end() || !at->second.remote_open) {
    // Underway when the stream ended; it counts for the connection's window.
    if (stream == 0 || stream % 2 == 0 || stream > last_stream_) return Malformed("DATA");
    Consumed(stream, bytes.size());
    if (at != streams_.end()) {
      Reset(stream, SpdyReset::kStreamAlreadyClosed);
      events_.OnReset(stream);
    }
    return absl::OkStatus();
  }
  if (!bytes.empty()) events_.OnData(stream, bytes);
  if (last && (flags & kSpdyFin) != 0) RemoteFin(stream);
  return absl::OkStatus();
}

void SpdyConnection::RemoteFin(uint32_t stream) {
  const auto at = streams_.find(stream);
  if (at == streams_.end() || !at->second.remote_open) return;
  at->second.remote_open = false;
  if (!at->second.local_open) streams_.erase(at);
  events_.OnFin(stream);
}

size_t SpdyConnection::Window(uint32_t stream) const {
  const auto at = streams_.find(stream);
  if (at == streams_.end()) return std::numeric_limits<size_t>::max();
  int64_t window = std::numeric_limits<int64_t>::max();
  if (peer_keeps_stream_windows_) window = at->second.send_window;
  if (peer_keeps_connection_window_) window = std::min(window, connection_send_window_);
  return static_cast<size_t>(std::max<int64_t>(window, 0));
}

std::string SpdyConnection::Data(uint32_t stream, absl::string_view bytes, bool fin) {
  const auto at = streams_.find(stream);
  if (at == streams_.end() || !at->second.local_open) return "";
  at->second.send_window -= static_cast<int64_t>(bytes.size());
  connection_send_window_ -= static_cast<int64_t>(bytes.size());
  if (fin) {
    at->second.local_open = false;
    if (!at->second.remote_open) streams_.erase(at);
  }
  return SpdyDataFrame(stream, fin ? kSpdyFin : 0, bytes);
}

void SpdyConnection::SendWindowUpdate(uint32_t stream, int64_t delta) {
  std::string payload;
  AppendU32(payload, stream);
  AppendU32(payload, static_cast<uint32_t>(delta));
  Emit(SpdyType::kWindowUpdate, payload);
}

void SpdyConnection::Consumed(uint32_t stream, size_t bytes) {
  connection_unreported_ += static_cast<int64_t>(bytes);
  if (connection_unreported_ >= kReportEvery)
    SendWindowUpdate(0, std::exchange(connection_unreported_, 0));
  const auto at = streams_.find(stream);
  if (at == streams_.end() || !at->second.remote_open) return;
  at->second.unreported += static_cast<int64_t>(bytes);
  if (at->second.unreported >= kReportEvery)
    SendWindowUpdate(stream, std::exchange(at->second.unreported, 0));
}

void SpdyConnection::SendReset(uint32_t stream, SpdyReset reason) {
  std::string payload;
  AppendU32(payload, stream);
  AppendU32(payload, static_cast<uint32_t>(reason));
  Emit(SpdyType::kRstStream, payload);
}

void SpdyConnection::Reset(uint32_t stream, SpdyReset reason) {
  if (streams_.erase(stream) > 0) SendReset(stream, reason);
}

void SpdyConnection::GoAway() {
  if (std::exchange(gone_away_, true)) return;
  std::string payload;
  AppendU32(payload, last_stream_);
  AppendU32(payload, kGoAwayOk);
  Emit(SpdyType::kGoAway, payload);
}

}  // namespace berth
