// A SPDY/3.1 connection of a hostile client: no input may crash it, or make it send without bound.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <utility>
#include <vector>

#include "src/stream/spdy_connection.h"

namespace {

// Does what a session does: takes streams, answers on them, consumes what comes.
class Peer : public berth::SpdyEvents {
 public:
  bool OnOpen(uint32_t stream, const berth::SpdyHeaders& headers) override {
    if (headers.size() % 3 == 2) return false;
    streams.insert(stream);
    return true;
  }
  void OnData(uint32_t stream, absl::string_view bytes) override {
    if (streams.count(stream) == 0) std::abort();  // of a stream that was never taken
    consumed.emplace_back(stream, bytes.size());
  }
  void OnFin(uint32_t) override {}
  void OnReset(uint32_t stream) override { streams.erase(stream); }
  void OnGoAway() override {}
  void OnWindow() override {}

  std::set<uint32_t> streams;
  std::vector<std::pair<uint32_t, size_t>> consumed;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Peer peer;
  berth::SpdyConnection connection(8, peer);
  absl::string_view rest(reinterpret_cast<const char*>(data), size);
  bool good = true;
  // The first byte of each piece says how long it is.
  while (good && !rest.empty()) {
    const absl::string_view piece = rest.substr(0, 1 + static_cast<uint8_t>(rest[0]));
    rest.remove_prefix(piece.size());
    good = connection.Feed(piece).ok();
    for (const auto& [stream, bytes] : std::exchange(peer.consumed, {}))
      connection.Consumed(stream, bytes);
    for (const uint32_t stream : peer.streams) {
      if (connection.Window(stream) >= 4) (void)connection.Data(stream, "echo", false);
    }
    if (connection.open_streams() > 8) std::abort();
    if (connection.TakeOutput().size() > 64 * (piece.size() + 16)) std::abort();
  }
  return 0;
}
