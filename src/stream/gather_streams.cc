#include "src/stream/gather_streams.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace berth {
namespace {

struct Kind {
  absl::string_view type;  // header "streamtype"
  uint32_t flag;           // SessionFlag; 0: always
  ClientStream* CommandStreams::*place;
};
constexpr std::array kKinds = {
    Kind{"error", 0, &CommandStreams::error},
    Kind{"stdin", wire::kSessionStdin, &CommandStreams::in},
    Kind{"stdout", wire::kSessionStdout, &CommandStreams::out},
    Kind{"stderr", wire::kSessionStderr, &CommandStreams::err},
    Kind{"resize", wire::kSessionTerminal, &CommandStreams::resize},
};

bool IsExpected(const Kind& kind, uint32_t flags, CommandProtocol protocol) {
  const bool terminal = (flags & wire::kSessionTerminal) != 0;
  if (kind.place == &CommandStreams::resize) return terminal && protocol >= CommandProtocol::kV3;
  if (kind.place == &CommandStreams::err && terminal) return false;
  return kind.flag == 0 || (flags & kind.flag) != 0;
}

// "" once all are there.
std::string Missing(const CommandStreams& streams, uint32_t flags, CommandProtocol protocol) {
  std::string missing;
  for (const Kind& kind : kKinds) {
    if (IsExpected(kind, flags, protocol) && streams.*kind.place == nullptr)
      absl::StrAppend(&missing, missing.empty() ? "" : ", ", kind.type);
  }
  return missing;
}

}  // namespace

asio::awaitable<GatheredStreams> GatherStreams(SpdyStreams& client, uint32_t flags,
                                               CommandProtocol protocol,
                                               Clock::time_point deadline) {
  GatheredStreams gathered;
  std::string missing = Missing(gathered.streams, flags, protocol);
  while (!missing.empty()) {
    std::unique_ptr<SpdyStream> stream = co_await client.Accept(deadline);
    if (stream == nullptr) break;
    const absl::string_view type = FindHeader(stream->headers(), "streamtype");
    const auto kind = std::find_if(kKinds.begin(), kKinds.end(), [&](const Kind& candidate) {
      return candidate.type == type && IsExpected(candidate, flags, protocol);
    });
    if (kind == kKinds.end() || gathered.streams.*kind->place != nullptr) continue;
    gathered.streams.*kind->place = stream.get();
    gathered.owned.push_back(std::move(stream));
    missing = Missing(gathered.streams, flags, protocol);
  }
  client.RefuseNew();
  if (!missing.empty())
    gathered.status = absl::DeadlineExceededError(absl::StrCat("streams are missing: ", missing));
  co_return gathered;
}

}  // namespace berth
