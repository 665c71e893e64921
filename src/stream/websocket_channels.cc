#include "src/stream/websocket_channels.h"

#include <array>
#include <chrono>
#include <utility>

namespace berth {

class WebSocketChannels::Channel final : public ClientStream {
 public:
  Channel(WebSocketChannels& all, uint8_t number)
      : all_(all), number_(number), in_(all.executor_, [this](size_t) { all_.taken_.Notify(); }) {}

  Inbox& in() override { return in_; }

  asio::awaitable<bool> Write(absl::string_view bytes) override {
    if (closed_) co_return false;
    std::string message = EncodeChannelMessage(all_.format_, number_, bytes);
    const bool sent = co_await all_.writer_.Send(std::move(message), all_.format_.base64);
    if (sent) all_.activity_.Touch();
    co_return sent;
  }

  // No message says so: the end of the connection does. A channel knows no half-close.
  asio::awaitable<void> CloseWrite() override {
    closed_ = true;
    in_.Discard();
    co_return;
  }

  void Reset() override {
    closed_ = true;
    in_.End(true);
  }

 private:
  WebSocketChannels& all_;
  const uint8_t number_;
  bool closed_ = false;
  Inbox in_;
};

WebSocketChannels::WebSocketChannels(Transport& transport, const Executor& executor,
                                     ChannelFormat format, Activity& activity, Event& changed)
    : transport_(transport),
      executor_(executor),
      format_(format),
      activity_(activity),
      decoder_(format),
      writer_(transport, executor),
      changed_(changed),
      taken_(executor) {
  for (int number = 0; number < format.channels; ++number)
    channels_.push_back(std::make_unique<Channel>(*this, static_cast<uint8_t>(number)));
}

WebSocketChannels::~WebSocketChannels() = default;

ClientStream& WebSocketChannels::channel(uint8_t number) { return *channels_[number]; }

void WebSocketChannels::OnChannelData(uint8_t channel, absl::string_view bytes) {
  activity_.Touch();
  channels_[channel]->in().Push(bytes);
}

void WebSocketChannels::OnChannelClose(uint8_t channel) { channels_[channel]->in().End(false); }

bool WebSocketChannels::MustHold() const {
  size_t all = 0;
  for (const auto& channel : channels_) {
    if (channel->in().size() >= kMaxInboxBytes) return true;
    all += channel->in().size();
  }
  return all >= kMaxInboxesBytes;
}

asio::awaitable<void> WebSocketChannels::Read() {
  constexpr auto kLookEvery = std::chrono::seconds(1);
  const auto buffer = std::make_unique<std::array<char, kChunkBytes>>();
  while (true) {
    while (MustHold()) {
      if (transport_.PeerHasClosed()) co_return;
      co_await taken_.Wait(Clock::now() + kLookEvery);
    }
    const auto piece = co_await transport_.Read(asio::buffer(*buffer));
    if (!piece.has_value()) co_return;
    const absl::string_view bytes(buffer->data(), piece->size);
    if (!decoder_.Feed(bytes, piece->text, piece->ends_message, *this).ok()) co_return;
  }
}

asio::awaitable<void> WebSocketChannels::Run() {
  asio::co_spawn(executor_, writer_.Run(), asio::detached);
  co_await Read();
  gone_ = true;
  for (const auto& channel : channels_) channel->in().End(true);
  changed_.Notify();
}

asio::awaitable<void> WebSocketChannels::Close() {
  for (const auto& channel : channels_) channel->in().Discard();
  co_await writer_.Flush();
  writer_.Stop();
}

}  // namespace berth
