// The streams that an exec or attach over SPDY/3.1 begins with.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "src/stream/command_session.h"
#include "src/stream/request_head.h"
#include "src/stream/spdy_streams.h"

namespace berth {

struct GatheredStreams {
  std::vector<std::unique_ptr<SpdyStream>> owned;
  CommandStreams streams;  // some of `owned`
  absl::Status status;     // not OK: some are missing, but the error stream may be there
};

// One error stream, one for each of stdin, stdout and stderr in `flags` (SessionFlag), and for a
// terminal that of its size. Streams that nobody asked for are reset.
asio::awaitable<GatheredStreams> GatherStreams(SpdyStreams& client, uint32_t flags,
                                               CommandProtocol protocol,
                                               Clock::time_point deadline);

}  // namespace berth
