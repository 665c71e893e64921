// A client's channels over a WebSocket. Run it as a coroutine; it lives until the end of the
// process or of the io_context. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "src/stream/channel_codec.h"
#include "src/stream/client_stream.h"
#include "src/stream/frame_writer.h"
#include "src/stream/transport.h"

namespace berth {

class WebSocketChannels final : public ClientLink, private ChannelSink {
 public:
  WebSocketChannels(Transport& transport, const Executor& executor, ChannelFormat format,
                    Activity& activity, Event& changed);
  ~WebSocketChannels() override;

  asio::awaitable<void> Run() override;
  ClientStream& channel(uint8_t number);
  asio::awaitable<void> Close() override;
  bool gone() const override { return gone_; }

 private:
  class Channel;

  void OnChannelData(uint8_t channel, absl::string_view bytes) override;
  void OnChannelClose(uint8_t channel) override;
  bool MustHold() const;
  asio::awaitable<void> Read();

  Transport& transport_;
  const Executor executor_;
  const ChannelFormat format_;
  Activity& activity_;
  ChannelDecoder decoder_;
  FrameWriter writer_;
  std::vector<std::unique_ptr<Channel>> channels_;
  bool gone_ = false;
  Event& changed_;
  Event taken_;
};

}  // namespace berth
