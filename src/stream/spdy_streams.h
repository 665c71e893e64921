// A client's SPDY/3.1 streams over a transport. Not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>

#include "src/stream/client_stream.h"
#include "src/stream/frame_writer.h"
#include "src/stream/spdy_connection.h"
#include "src/stream/transport.h"

namespace berth {

class SpdyStreams;

class SpdyStream final : public ClientStream {
 public:
  SpdyStream(SpdyStreams& all, uint32_t id, SpdyHeaders headers);
  ~SpdyStream() override;
  SpdyStream(const SpdyStream&) = delete;
  SpdyStream& operator=(const SpdyStream&) = delete;

  uint32_t id() const { return id_; }
  const SpdyHeaders& headers() const { return headers_; }

  Inbox& in() override { return in_; }
  asio::awaitable<bool> Write(absl::string_view bytes) override;
  asio::awaitable<void> CloseWrite() override;
  void Reset() override;

 private:
  SpdyStreams& all_;
  const uint32_t id_;
  const SpdyHeaders headers_;
  Inbox in_;
};

class SpdyStreams final : public ClientLink, private SpdyEvents {
 public:
  SpdyStreams(Transport& transport, const Executor& executor, size_t max_streams,
              Activity& activity, Event& changed);

  asio::awaitable<void> Run() override;
  // The next stream that the client opened; nullptr at `deadline`, or once no more can come.
  asio::awaitable<std::unique_ptr<SpdyStream>> Accept(Clock::time_point deadline = kNever);
  // From now on streams that the client opens are refused.
  void RefuseNew() { takes_new_ = false; }
  asio::awaitable<void> Close() override;

  bool gone() const override { return gone_; }
  // The client opens no more streams.
  bool going_away() const { return going_away_; }

 private:
  friend class SpdyStream;

  bool OnOpen(uint32_t stream, const SpdyHeaders& headers) override;
  void OnData(uint32_t stream, absl::string_view bytes) override;
  void OnFin(uint32_t stream) override;
  void OnReset(uint32_t stream) override;
  void OnGoAway() override;
  void OnWindow() override;

  void PostOutput();
  bool MustHold() const;
  asio::awaitable<void> Read();

  Transport& transport_;
  const Executor executor_;
  Activity& activity_;
  SpdyConnection connection_;
  FrameWriter writer_;
  std::map<uint32_t, SpdyStream*> streams_;         // those that somebody owns
  std::deque<std::unique_ptr<SpdyStream>> opened_;  // those that nobody has accepted yet
  size_t inbox_bytes_ = 0;
  bool takes_new_ = true, gone_ = false, going_away_ = false;
  Event& changed_;
  Event taken_, window_;
};

}  // namespace berth
