// Asks for /metrics as Prometheus does.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace berth::bench {

// The bytes of the whole answer of the HTTP server on the unix socket `path`. Unavailable: nobody
// listens; Internal: it does not answer with 200.
absl::StatusOr<size_t> Scrape(const std::string& path);

}  // namespace berth::bench
