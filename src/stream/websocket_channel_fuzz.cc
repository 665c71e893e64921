// Messages of the channel protocols from a hostile client: no input may crash the decoder, or name
// a channel that is not there.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "src/stream/channel_codec.h"

namespace {

constexpr uint8_t kChannels = 5;

class Sink : public berth::ChannelSink {
 public:
  void OnChannelData(uint8_t channel, absl::string_view) override {
    if (channel >= kChannels) std::abort();
  }
  void OnChannelClose(uint8_t channel) override {
    if (channel >= kChannels) std::abort();
  }
};

}  // namespace

// The first byte chooses the protocol, then each piece has a head: its length and how it ends.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const bool base64 = (data[0] & 1) != 0;
  berth::ChannelDecoder decoder(
      {.base64 = base64, .can_close = (data[0] & 2) != 0, .channels = kChannels});
  Sink sink;
  absl::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
  while (!rest.empty()) {
    const auto head = static_cast<uint8_t>(rest[0]);
    const absl::string_view piece = rest.substr(1, head >> 2);
    rest.remove_prefix(1 + piece.size());
    const bool text = (head & 2) != 0 ? !base64 : base64;
    if (!decoder.Feed(piece, text, (head & 1) != 0, sink).ok()) break;
  }
  return 0;
}
