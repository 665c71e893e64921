// The server's side of a SPDY/3.1 connection as a state machine: bytes in, events and bytes out.
// Streams are opened by the client only. Pure; not thread-safe.
//
// Flow control: the field's clients (spdystream) neither send nor obey windows, others do. So a
// window binds us only once the peer has shown that it keeps windows, and what the peer sends
// beyond its own window is not an error; whoever reads slowly must stop feeding.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/stream/spdy_headers.h"
#include "src/stream/spdy_parser.h"
#include "src/stream/spdy_wire.h"

namespace berth {

class SpdyEvents {
 public:
  virtual ~SpdyEvents() = default;
  // True takes the stream, and answers the client; false resets it as refused.
  virtual bool OnOpen(uint32_t stream, const SpdyHeaders& headers) = 0;
  virtual void OnData(uint32_t stream, absl::string_view bytes) = 0;
  // The client sends no more on this stream.
  virtual void OnFin(uint32_t stream) = 0;
  // The stream is gone, both ways.
  virtual void OnReset(uint32_t stream) = 0;
  // The client opens no more streams.
  virtual void OnGoAway() = 0;
  // More can be sent than before.
  virtual void OnWindow() = 0;
};

class SpdyConnection : private SpdyFrameSink {
 public:
  SpdyConnection(size_t max_streams, SpdyEvents& events)
      : max_streams_(max_streams), events_(events) {}

  // After an error only TakeOutput, which then ends with GOAWAY, may be called.
  absl::Status Feed(absl::string_view bytes);
  // Control frames that wait to be sent.
  std::string TakeOutput() { return std::exchange(output_, std::string()); }
  bool has_output() const { return !output_.empty(); }

  // How many bytes may be sent on `stream` now.
  size_t Window(uint32_t stream) const;
  // A DATA frame of at most Window(stream) bytes; "" if the stream is not open for us. `fin` ends
  // our side.
  std::string Data(uint32_t stream, absl::string_view bytes, bool fin);
  // `bytes` of OnData have left our buffers: the peer's window opens again.
  void Consumed(uint32_t stream, size_t bytes);
  void Reset(uint32_t stream, SpdyReset reason);
  void GoAway();
  size_t open_streams() const { return streams_.size(); }

 private:
  struct Stream {
    int64_t send_window;
    int64_t unreported = 0;  // consumed, and not yet told to the peer
    bool remote_open = true, local_open = true;
  };

  absl::Status OnControl(uint16_t type, uint8_t flags, absl::string_view payload) override;
  absl::Status OnData(uint32_t stream, absl::string_view bytes, uint8_t flags, bool last) override;

  absl::Status OnSynStream(uint8_t flags, absl::string_view payload);
  absl::Status OnHeaders(uint8_t flags, absl::string_view payload);
  absl::Status OnRstStream(absl::string_view payload);
  absl::Status OnSettings(absl::string_view payload);
  absl::Status OnPing(absl::string_view payload);
  absl::Status OnGoAwayFrame(absl::string_view payload);
  absl::Status OnWindowUpdate(absl::string_view payload);
  void RemoteFin(uint32_t stream);
  void SendReset(uint32_t stream, SpdyReset reason);
  void SendWindowUpdate(uint32_t stream, int64_t delta);
  void Emit(SpdyType type, absl::string_view payload);

  const size_t max_streams_;
  SpdyEvents& events_;
  SpdyParser parser_;
  HeaderInflater inflater_;
  HeaderDeflater deflater_;
  std::map<uint32_t, Stream> streams_;
  std::string output_;
  uint32_t last_stream_ = 0;
  bool peer_goes_away_ = false, gone_away_ = false;
  // Of the whole connection, as SPDY/3.1 has it besides those of the streams.
  int64_t connection_send_window_ = kSpdyFirstWindow, connection_unreported_ = 0;
  int64_t first_send_window_ = kSpdyFirstWindow;
  bool peer_keeps_stream_windows_ = false, peer_keeps_connection_window_ = false;
};

}  // namespace berth
