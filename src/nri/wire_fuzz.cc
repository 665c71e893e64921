// A stream from a plugin, cut into pieces as the first byte says: no input may crash the reader,
// and the messages that it finds are read again as they are written.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "src/nri/wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t piece = std::max<size_t>(data[0], 1);
  absl::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  berth::nri::WireReader reader;
  while (!rest.empty()) {
    const auto messages = reader.Read(rest.substr(0, piece));
    if (!messages.ok()) return 0;
    for (const berth::nri::WireMessage& message : *messages) {
      const auto again = berth::nri::WireReader().Read(berth::nri::EncodeWireMessage(message));
      if (!again.ok() || again->size() != 1 || again->front().payload != message.payload ||
          again->front().stream != message.stream || again->front().type != message.type)
        abort();
    }
    rest.remove_prefix(std::min(piece, rest.size()));
  }
  return 0;
}
