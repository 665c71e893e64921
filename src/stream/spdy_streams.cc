#include "src/stream/spdy_streams.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

namespace berth {

SpdyStream::SpdyStream(SpdyStreams& all, uint32_t id, SpdyHeaders headers)
    : all_(all), id_(id), headers_(std::move(headers)), in_(all.executor_, [this](size_t bytes) {
        all_.inbox_bytes_ -= bytes;
        all_.connection_.Consumed(id_, bytes);
        all_.PostOutput();
        all_.taken_.Notify();
      }) {
  all_.streams_.emplace(id_, this);
}

SpdyStream::~SpdyStream() {
  Reset();
  all_.inbox_bytes_ -= in_.size();
  all_.connection_.Consumed(id_, in_.size());
  all_.PostOutput();
  all_.streams_.erase(id_);
  all_.taken_.Notify();
}

asio::awaitable<bool> SpdyStream::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    while (all_.connection_.Window(id_) == 0 && !all_.gone_) co_await all_.window_.Wait();
    const absl::string_view piece = bytes.substr(0, all_.connection_.Window(id_));
    std::string frame = all_.connection_.Data(id_, piece, false);
    if (frame.empty()) co_return false;
    const bool sent = co_await all_.writer_.Send(std::move(frame));
    if (!sent) co_return false;
    all_.activity_.Touch();
    bytes.remove_prefix(piece.size());
  }
  co_return true;
}

asio::awaitable<void> SpdyStream::CloseWrite() {
  std::string frame = all_.connection_.Data(id_, "", true);
  if (!frame.empty()) co_await all_.writer_.Send(std::move(frame));
}

void SpdyStream::Reset() {
  all_.connection_.Reset(id_, SpdyReset::kCancel);
  all_.PostOutput();
  in_.End(true);
}

SpdyStreams::SpdyStreams(Transport& transport, const Executor& executor, size_t max_streams,
                         Activity& activity, Event& changed)
    : transport_(transport),
      executor_(executor),
      activity_(activity),
      connection_(max_streams, *this),
      writer_(transport, executor),
      changed_(changed),
      taken_(executor),
      window_(executor) {}

bool SpdyStreams::OnOpen(uint32_t stream, const SpdyHeaders& headers) {
  if (!takes_new_) return false;
  opened_.push_back(std::make_unique<SpdyStream>(*this, stream, headers));
  activity_.Touch();
  changed_.Notify();
  return true;
}

void SpdyStreams::OnData(uint32_t stream, absl::string_view bytes) {
  activity_.Touch();
  const auto at = streams_.find(stream);
  if (at == streams_.end() || at->second->in().ended()) {
    connection_.Consumed(stream, bytes.size());
    return;
  }
  inbox_bytes_ += bytes.size();
  at->second->in().Push(bytes);
}

void SpdyStreams::OnFin(uint32_t stream) {
  if (const auto at = streams_.find(stream); at != streams_.end()) at->second->in().End(false);
}

void SpdyStreams::OnReset(uint32_t stream) {
  if (const auto at = streams_.find(stream); at != streams_.end()) at->second->in().End(true);
  const auto unclaimed = std::find_if(opened_.begin(), opened_.end(),
                                      [&](const auto& waiting) { return waiting->id() == stream; });
  if (unclaimed != opened_.end()) opened_.erase(unclaimed);
  window_.Notify();
}

void SpdyStreams::OnGoAway() {
  going_away_ = true;
  changed_.Notify();
}

void SpdyStreams::OnWindow() { window_.Notify(); }

void SpdyStreams::PostOutput() {
  if (connection_.has_output()) writer_.Post(connection_.TakeOutput());
}

bool SpdyStreams::MustHold() const {
  return inbox_bytes_ >= kMaxInboxesBytes ||
         std::any_of(streams_.begin(), streams_.end(),
                     [](const auto& entry) { return entry.second->in().size() >= kMaxInboxBytes; });
}

asio::awaitable<void> SpdyStreams::Read() {
  constexpr auto kLookEvery = std::chrono::seconds(1);
  const auto buffer = std::make_unique<std::array<char, kChunkBytes>>();
  while (true) {
    while (MustHold() || writer_.answer_bytes() >= kMaxAnswerBytes) {
      if (transport_.PeerHasClosed()) co_return;
      Event& relief = MustHold() ? taken_ : writer_.changed();
      co_await relief.Wait(Clock::now() + kLookEvery);
    }
    const auto piece = co_await transport_.Read(asio::buffer(*buffer));
    if (!piece.has_value()) co_return;
    const bool good = connection_.Feed({buffer->data(), piece->size}).ok();
    PostOutput();
    if (!good) co_return;
  }
}

asio::awaitable<void> SpdyStreams::Run() {
  asio::co_spawn(executor_, writer_.Run(), asio::detached);
  co_await Read();
  gone_ = true;
  for (const auto& [id, stream] : streams_) stream->in().End(true);
  changed_.Notify();
  window_.Notify();
}

asio::awaitable<std::unique_ptr<SpdyStream>> SpdyStreams::Accept(Clock::time_point deadline) {
  while (opened_.empty()) {
    if (gone_ || going_away_ || Clock::now() >= deadline) co_return nullptr;
    co_await changed_.Wait(deadline);
  }
  std::unique_ptr<SpdyStream> stream = std::move(opened_.front());
  opened_.pop_front();
  co_return stream;
}

asio::awaitable<void> SpdyStreams::Close() {
  takes_new_ = false;
  for (const auto& [id, stream] : streams_) stream->in().Discard();
  connection_.GoAway();
  PostOutput();
  co_await writer_.Flush();
  writer_.Stop();
}

}  // namespace berth
